// A small subgraph of users, in place of your own.

import { readFileSync } from "node:fs";
import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";
import { buildSubgraphSchema } from "@apollo/subgraph";
import { parse } from "graphql";

const users = [
  { domainId: "default", userId: "admin", displayName: "The administrator" },
  { domainId: "default", userId: "ann", displayName: "Ann" },
];
const find = ({ domainId, userId }) => users.find((user) => user.domainId === domainId && user.userId === userId);

const schema = buildSubgraphSchema({
  typeDefs: parse(readFileSync(new URL("users.graphql", import.meta.url), "utf8")),
  resolvers: {
    Query: {
      user: (_, reference) => find(reference),
      users: (_, { domainId }) => users.filter((user) => user.domainId === domainId),
    },
    User: { __resolveReference: find },
  },
});

const server = new ApolloServer({
  schema,
  plugins: [
    {
      // The log shows that no credential arrives here.
      async requestDidStart({ request }) {
        console.log(`users: authorization ${request.http?.headers.get("authorization") ? "sent" : "not sent"}`);
      },
    },
  ],
});
const port = Number(process.env.USERS_PORT ?? 4001);
const { url } = await startStandaloneServer(server, { listen: { host: "127.0.0.1", port } });
console.log(`users at ${url}`);
