// Apollo Gateway on supergraph.graphql.

import { readFileSync } from "node:fs";
import { ApolloGateway, RemoteGraphQLDataSource } from "@apollo/gateway";
import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";

const supergraph = process.env.SUPERGRAPH ?? new URL("supergraph.graphql", import.meta.url);

class Subgraph extends RemoteGraphQLDataSource {
  constructor({ name, url }) {
    super({ url });
    this.name = name;
  }

  willSendRequest({ request, context }) {
    // Only this subgraph gets the credential: no other one needs it.
    if (this.name === "api-keys" && context.authorization) {
      request.http.headers.set("authorization", context.authorization);
    }
  }
}

const gateway = new ApolloGateway({
  supergraphSdl: readFileSync(supergraph, "utf8"),
  buildService: (definition) => new Subgraph(definition),
});
const { url } = await startStandaloneServer(new ApolloServer({ gateway }), {
  listen: { host: "127.0.0.1", port: Number(process.env.GATEWAY_PORT ?? 4000) },
  context: async ({ req }) => ({ authorization: req.headers.authorization }),
});
console.log(`gateway at ${url}`);
