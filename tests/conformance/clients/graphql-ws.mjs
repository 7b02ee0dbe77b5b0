// graphql-ws: requests and a subscription on one WebSocket.

import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { CHANGED, failed, followed, headers, scenario, sent, socketUrl } from "./service.mjs";

const client = createClient({ url: socketUrl, webSocketImpl: WebSocket, connectionParams: headers });

function run(query, variables) {
  return new Promise((resolve, reject) => {
    const next = ({ data, errors }) => (errors ? reject(errors) : resolve(data));
    client.subscribe({ query, variables }, { next, error: reject, complete() {} });
  });
}

const steps = await scenario(run, (errors) => errors[0]?.extensions?.code ?? String(errors));
const changes = await followed((variables, told) =>
  client.subscribe({ query: CHANGED, variables }, { next: ({ data }) => told(data), error: failed, complete() {} }),
);
await client.dispose();

// An invalid key: the connection is closed with the code Forbidden.
const stranger = createClient({
  url: socketUrl,
  retryAttempts: 0,
  webSocketImpl: WebSocket,
  connectionParams: { Authorization: "Bearer no key" },
});
const closed = await new Promise((resolve) => {
  stranger.subscribe({ query: "{ __typename }" }, { next: resolve, error: ({ code, reason }) => resolve([code, reason]), complete() {} });
});
console.log(JSON.stringify({ ...steps, counted: [], sent, followed: [changes], closed }));
