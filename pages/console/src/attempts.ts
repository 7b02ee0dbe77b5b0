// The ids of attempts to make a secret: with the same id, a lost response does not make a second key or secret.
import { CombinedGraphQLErrors, type ApolloClient } from "@apollo/client";
import { useApolloClient } from "@apollo/client/react";

import { isKey, keyState, randomId } from "../../shared/key.js";
import { mayBeDone } from "./client.ts";
import type { Viewer } from "./keys.tsx";

const KNOWN_MS = 600_000; // the service knows a request for so long
const MOST = 20; // of a session

interface Attempt {
  requestId: string;
  sentAt: number;
  /** Whether the response was lost: the same attempt may return a secret that was made already. */
  isUnanswered: boolean;
}

// Of each session, by the text of the input. They outlast the dialog, which may be closed and opened again.
const sessions = new WeakMap<ApolloClient, Map<string, Attempt>>();

/** The attempts of this session. Each input has a `requestId` of its own, until `end` is called with the outcome. */
export function useAttempts() {
  const client = useApolloClient();

  function find(input: object): Attempt | undefined {
    const attempt = sessions.get(client)?.get(JSON.stringify(input));
    return attempt && Date.now() - attempt.sentAt < KNOWN_MS ? attempt : undefined;
  }

  /** The input with its `requestId`. */
  function identified<Input extends object>(input: Input, viewer: Viewer): Input & { requestId?: string } {
    // The service takes one only of callers with a key: it derives the secret from theirs. A token has none.
    if (!viewer.apiKeyInfo || !isKey(keyState().secret)) return input;
    const attempt = find(input) ?? { requestId: randomId(), sentAt: Date.now(), isUnanswered: false };
    const attempts = sessions.get(client) ?? new Map<string, Attempt>();
    sessions.set(client, attempts.set(JSON.stringify(input), attempt));
    if (attempts.size > MOST) attempts.delete(attempts.keys().next().value!); // the oldest one
    return { ...input, requestId: attempt.requestId };
  }

  /** After a success the same input is another attempt, and so it is where the secret cannot be returned again. */
  function end(input: object, error?: unknown) {
    const attempt = find(input);
    const isOver = CombinedGraphQLErrors.is(error) && error.errors.some(({ extensions }) => extensions?.code === "FAILED_PRECONDITION");
    if (!error || isOver) sessions.get(client)?.delete(JSON.stringify(input));
    else if (attempt && mayBeDone(error)) attempt.isUnanswered = true;
  }

  /** Whether the response to this input was lost, and the same attempt can still return the secret. */
  function isUnanswered(input: object): boolean {
    return Boolean(find(input)?.isUnanswered);
  }
  return { identified, end, isUnanswered };
}
