// Composes the two subgraphs into supergraph.graphql, as `rover supergraph compose --config supergraph.yaml` does. With
// `npm run compose -- orders`, a third one too, which needs a gateway that checks tokens.

import { readFileSync, writeFileSync } from "node:fs";
import { composeServices } from "@apollo/composition";
import { parse } from "graphql";

const file = (name) => new URL(name, import.meta.url);
const subgraph = (name, url) => ({ name, url, typeDefs: parse(readFileSync(file(`${name}.graphql`), "utf8")) });

const { errors, hints, supergraphSdl } = composeServices([
  subgraph("users", process.env.USERS_URL ?? "http://127.0.0.1:4001/"),
  // What `gql-identity schema --subgraph` prints.
  subgraph("api-keys", process.env.API_KEYS_URL ?? "http://127.0.0.1:8000/graphql"),
  ...(process.argv.includes("orders") ? [subgraph("orders", process.env.ORDERS_URL ?? "http://127.0.0.1:4002/")] : []),
]);
if (errors) throw new Error(errors.map(({ message }) => message).join("\n"));
for (const { message } of hints) console.log(message);
writeFileSync(process.env.SUPERGRAPH ?? file("supergraph.graphql"), supergraphSdl);
