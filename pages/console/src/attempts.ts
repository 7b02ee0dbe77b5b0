// The ids of attempts to make a secret: with the same id, a lost response does not make a second key or secret.
import { CombinedGraphQLErrors } from "@apollo/client";
import { useRef } from "react";

import { isKey, keyState, randomId } from "../../shared/key.js";
import type { Viewer } from "./keys.tsx";

/** Adds a `requestId` to an input: the same one while the input is the same, until `end` is called with the outcome. */
export function useAttempts() {
  const attempt = useRef({ text: "", requestId: "" });

  function identified<Input extends object>(input: Input, viewer: Viewer): Input & { requestId?: string } {
    // The service takes one only of callers with a key: it derives the secret from theirs. A token has none.
    if (!viewer.apiKeyInfo || !isKey(keyState().secret)) return input;
    const text = JSON.stringify(input);
    if (text !== attempt.current.text) attempt.current = { text, requestId: randomId() };
    return { ...input, requestId: attempt.current.requestId };
  }

  /** After a success the same input is another attempt, and so it is where the secret cannot be returned again. */
  function end(error?: unknown) {
    const isOver = CombinedGraphQLErrors.is(error) && error.errors.some(({ extensions }) => extensions?.code === "FAILED_PRECONDITION");
    if (!error || isOver) attempt.current = { text: "", requestId: "" };
  }
  return { identified, end };
}
