// graphql-sse: requests and a subscription as server-sent events, one a connection.

import { createClient } from "graphql-sse";
import { CHANGED, failed, followed, headers, scenario, sent, url } from "./service.mjs";

const client = createClient({ url, headers });

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
client.dispose();
console.log(JSON.stringify({ ...steps, counted: [], sent, followed: [changes] }));
