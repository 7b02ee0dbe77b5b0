// Apollo Client for one key: requests over HTTP, subscriptions over graphql-ws, the key in both.

import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { OperationTypeNode } from "graphql";
import { createClient } from "graphql-ws";

const FORBIDDEN = 4403; // the code with which the service closes a connection for an invalid key

export function connect(secret) {
  const headers = { Authorization: `Bearer ${secret}` };
  const socket = createClient({
    url: new URL("/graphql", location.href.replace("http", "ws")).href,
    connectionParams: headers,
    retryAttempts: Infinity,
    shouldRetry: (event) => event?.code !== FORBIDDEN,
    on: {
      // Changes during a lost connection are not sent later, so the list is read again.
      connected: () => client.refetchQueries({ include: "active" }),
    },
  });
  const link = ApolloLink.split(
    ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
    new GraphQLWsLink(socket),
    new HttpLink({ uri: "/graphql", headers }),
  );
  const client = new ApolloClient({ link, cache: new InMemoryCache() });
  return { client, socket };
}

/** The message to show for an error: the service's own, if it responded. */
export function reason(error) {
  if (CombinedGraphQLErrors.is(error)) return error.errors.map(({ message }) => message).join(" ");
  if (error.statusCode === 401 || error.code === FORBIDDEN) return "Invalid API key: it is wrong, disabled or deleted.";
  return "The service cannot be reached.";
}
