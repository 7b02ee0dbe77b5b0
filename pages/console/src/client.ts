// Apollo Client for one key: requests over HTTP, subscriptions over graphql-ws, the key in both.
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { OperationTypeNode } from "graphql";
import type { Client } from "graphql-ws";

import { noteRefusal } from "../../shared/key.js";
import { isRefusal, noteResponse, REFUSED, socketAddress } from "../../shared/service.js";
import { createSocket } from "../../shared/socket.js";

const LONGEST_MS = 60_000; // of a request: the service gives up earlier
const PASSING = new Set<unknown>(["RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED"]);
const UNKNOWN = new Set<unknown>(["UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL"]);

export interface Session {
  client: ApolloClient;
  /** Whether the WebSocket is connected now. */
  isConnected: () => boolean;
  socket: Client;
}

export function connect(secret: string): Session {
  const endpoint = new URL("graphql", location.href).href; // beside the page, below any path prefix
  const headers = { Authorization: `Bearer ${secret}` };
  let isConnected = false;
  const socket: Client = createSocket({
    url: socketAddress(endpoint),
    connectionParams: headers,
    lazy: false,
    retryAttempts: Infinity,
    shouldRetry: (event: unknown) => !isRefusal(event),
    on: {
      connected: () => void (isConnected = true),
      closed: () => void (isConnected = false),
    },
    onNonLazyError: (error: unknown) => {
      if (isRefusal(error)) noteRefusal(secret, REFUSED);
    },
  });
  const link = ApolloLink.split(
    ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
    new GraphQLWsLink(socket),
    new HttpLink({ uri: endpoint, headers, fetch: noticing(secret) }),
  );
  return { client: new ApolloClient({ link, cache: new InMemoryCache() }), socket, isConnected: () => isConnected };
}

/** `fetch` that notes when the service refuses the key, and does not wait for ever. */
function noticing(secret: string): typeof fetch {
  return async (address, options) => {
    const signals = [AbortSignal.timeout(LONGEST_MS), ...(options?.signal ? [options.signal] : [])];
    const response = await fetch(address, { ...options, signal: AbortSignal.any(signals) });
    await noteResponse(secret, response);
    return response;
  };
}

/** Whether the same request may succeed in a while: the service is busy, without its database, or not there. */
export function mayPass(error: unknown): boolean {
  return !CombinedGraphQLErrors.is(error) || error.errors.some(({ extensions }) => PASSING.has(extensions?.code));
}

/** Whether a request may have been carried out although it failed: its response was lost, or the service does not know. */
export function mayBeDone(error: unknown): boolean {
  if (CombinedGraphQLErrors.is(error)) return error.errors.some(({ extensions }) => UNKNOWN.has(extensions?.code));
  const status = (error as { statusCode?: number }).statusCode;
  return status === undefined || status >= 500;
}

/** The message to show for an error: the service's own, if it responded. */
export function reason(error: unknown): string {
  if (CombinedGraphQLErrors.is(error)) return error.errors.map(({ message }) => message).join(" ");
  const status = (error as { statusCode?: number }).statusCode;
  if (status === 401) return REFUSED;
  return status ? `The service responded with status ${status}.` : "The service cannot be reached.";
}
