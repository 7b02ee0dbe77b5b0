// For `npx @graphql-hive/gateway@2.15.1 supergraph --config-path hive-gateway.config.mjs`. Subscriptions of the api-keys
// subgraph are server-sent events; hive-gateway-websocket.config.mjs has the WebSocket way.

/** The client's credential: of its connection_init if it came by WebSocket, else of its headers. */
function authorizationOf({ connectionParams, request }) {
  const sent = Object.entries(connectionParams ?? {}).find(([name]) => name.toLowerCase() === "authorization");
  return sent?.[1] ?? request.headers.get("authorization") ?? undefined;
}

export const gatewayConfig = {
  supergraph: process.env.SUPERGRAPH ?? "./supergraph.graphql",
  host: "127.0.0.1",
  port: Number(process.env.GATEWAY_PORT ?? 4000),
  plugins: () => [
    { onContextBuilding: ({ context, extendContext }) => extendContext({ authorization: authorizationOf(context) }) },
  ],
  propagateHeaders: {
    fromClientToSubgraphs({ context, subgraphName }) {
      // Only this subgraph gets the credential: no other one needs it.
      if (subgraphName === "api-keys" && context.authorization) return { authorization: context.authorization };
    },
  },
};
