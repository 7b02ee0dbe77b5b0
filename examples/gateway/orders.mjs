// A small subgraph whose field needs a scope. It has no code for that: the gateway reads the scopes of the token.

import { readFileSync } from "node:fs";
import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";
import { buildSubgraphSchema } from "@apollo/subgraph";
import { parse } from "graphql";

const schema = buildSubgraphSchema({
  typeDefs: parse(readFileSync(new URL("orders.graphql", import.meta.url), "utf8")),
  resolvers: { Query: { latestOrder: () => ({ id: "1", customer: "Ann" }) } },
});
const port = Number(process.env.ORDERS_PORT ?? 4002);
const { url } = await startStandaloneServer(new ApolloServer({ schema }), { listen: { host: "127.0.0.1", port } });
console.log(`orders at ${url}`);
