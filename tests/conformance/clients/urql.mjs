// @urql/core: requests, persisted queries by POST and GET, and subscriptions as server-sent events and over graphql-ws.

import { Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { CHANGED, LIST, domain, failed, followed, headers, recordingFetch, scenario, sent, socketUrl, url, userId } from "./service.mjs";

const options = { url, fetch: recordingFetch, fetchOptions: { headers }, requestPolicy: "network-only" };
const client = (preferGetForPersistedQueries) =>
  new Client({ ...options, exchanges: [persistedExchange({ preferGetForPersistedQueries }), fetchExchange] });

const run = (client) => async (text, variables) => {
  const ask = text.startsWith("mutation") ? client.mutation.bind(client) : client.query.bind(client);
  const { data, error } = await ask(text, variables ?? {}).toPromise();
  if (error) throw error;
  return data;
};
const codeOf = (error) => error.graphQLErrors?.[0]?.extensions.code ?? String(error);

const steps = await scenario(run(new Client({ ...options, exchanges: [fetchExchange] })), codeOf);
sent.length = 0;
const counted = [];
for (const useGet of [false, "force"]) {
  const document = LIST.replace("List_", `List_${useGet}_`);
  for (let time = 0; time < 2; time++) {
    counted.push((await run(client(useGet))(document, { input: { ...domain, userId } })).apiKeys.totalCount);
  }
}

const socket = createClient({ url: socketUrl, webSocketImpl: WebSocket, connectionParams: headers });
const forwardSubscription = ({ query, variables }) => ({
  subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query, variables }, sink) }),
});
const asEvents = new Client({ ...options, fetch, fetchSubscriptions: true, exchanges: [fetchExchange] });
const bySocket = new Client({ ...options, exchanges: [subscriptionExchange({ forwardSubscription })] });
const changes = [];
for (const subscriber of [asEvents, bySocket]) {
  changes.push(
    await followed((variables, told) => {
      const subscription = subscriber
        .subscription(CHANGED, variables)
        .subscribe(({ data, error }) => (error ? failed(error) : told(data)));
      return () => subscription.unsubscribe();
    }),
  );
}
await socket.dispose();
console.log(JSON.stringify({ ...steps, counted, sent, followed: changes }));
