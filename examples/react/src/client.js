// Apollo Client for one API key: requests over HTTP, subscriptions over graphql-ws, the key in both.
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { OperationTypeNode } from "graphql";
import { createClient } from "graphql-ws";

const FORBIDDEN = 4403; // the code with which the service closes a connection for an invalid key

// The page's own origin passes `/graphql` on, unless the build names a service of another origin.
const endpoint = new URL(import.meta.env.VITE_IDENTITY_ENDPOINT ?? "/graphql", location.href).href;

export function connect(secret) {
  const headers = { Authorization: `Bearer ${secret}` };
  const socket = createClient({
    url: endpoint.replace("http", "ws"),
    connectionParams: headers,
    retryAttempts: Infinity,
    shouldRetry: (event) => event?.code !== FORBIDDEN,
    // Changes during a lost connection are not sent later, so the list is read again.
    on: { connected: () => client.refetchQueries({ include: "active" }) },
  });
  const link = ApolloLink.split(
    ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
    new GraphQLWsLink(socket),
    new HttpLink({ uri: endpoint, headers }),
  );
  const client = new ApolloClient({
    link,
    cache: new InMemoryCache(),
    clientAwareness: { name: "gql-identity-example-react", version: "1" }, // headers that name the client
  });
  return client;
}

/** The message to show for an error: the service's own, if it responded. */
export function reason(error) {
  if (CombinedGraphQLErrors.is(error)) return error.errors.map(({ message }) => message).join(" ");
  if (error.statusCode === 401) return "Invalid API key: it is wrong, disabled, expired or deleted.";
  return "The service cannot be reached.";
}

/** Whether the service cannot return again what an earlier request with the same `requestId` made. */
export function isNotAgain(error) {
  return CombinedGraphQLErrors.is(error) && error.errors.some(({ extensions }) => extensions?.code === "FAILED_PRECONDITION");
}
