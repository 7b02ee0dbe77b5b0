// @apollo/client: requests, persisted queries by POST and GET, and a subscription over graphql-ws.

import { createHash } from "node:crypto";
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { CHANGED, LIST, domain, failed, followed, headers, recordingFetch, scenario, sent, socketUrl, url, userId } from "./service.mjs";

const sha256 = (text) => createHash("sha256").update(text).digest("hex");

function client(useGETForHashedQueries) {
  const persisted = new PersistedQueryLink({ sha256, useGETForHashedQueries });
  const http = new HttpLink({ uri: url, headers, fetch: recordingFetch });
  return new ApolloClient({ link: ApolloLink.from([persisted, http]), cache: new InMemoryCache() });
}

const run = (client) => async (text, variables) => {
  const document = gql(text);
  const isMutation = text.startsWith("mutation");
  const asked = isMutation
    ? client.mutate({ mutation: document, variables, fetchPolicy: "no-cache" })
    : client.query({ query: document, variables, fetchPolicy: "network-only" });
  return (await asked).data;
};
const codeOf = (error) => (CombinedGraphQLErrors.is(error) ? error.errors[0].extensions.code : String(error));

const byPost = client(false);
const steps = await scenario(run(byPost), codeOf);
sent.length = 0;
const byGet = [];
for (const useGet of [false, true]) {
  const document = LIST.replace("List_", `List_${useGet}_`);
  for (let time = 0; time < 2; time++) {
    byGet.push((await run(client(useGet))(document, { input: { ...domain, userId } })).apiKeys.totalCount);
  }
}

const socket = createClient({ url: socketUrl, webSocketImpl: WebSocket, connectionParams: headers });
const subscriber = new ApolloClient({ link: new GraphQLWsLink(socket), cache: new InMemoryCache() });
const changes = await followed((variables, told) => {
  const subscription = subscriber
    .subscribe({ query: gql(CHANGED), variables })
    .subscribe({ next: ({ data }) => told(data), error: failed });
  return () => subscription.unsubscribe();
});
await socket.dispose();
console.log(JSON.stringify({ ...steps, counted: byGet, sent, followed: [changes] }));
