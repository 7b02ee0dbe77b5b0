// For `npx @graphql-hive/gateway@2.15.1 supergraph --config-path hive-gateway.config.mjs`.

export const gatewayConfig = {
  supergraph: process.env.SUPERGRAPH ?? "./supergraph.graphql",
  host: "127.0.0.1",
  port: Number(process.env.GATEWAY_PORT ?? 4000),
  propagateHeaders: {
    fromClientToSubgraphs({ request, subgraphName }) {
      const authorization = request.headers.get("authorization");
      // Only this subgraph gets the credential: no other one needs it.
      if (subgraphName === "api-keys" && authorization) return { authorization };
    },
  },
};
