// As hive-gateway.config.mjs, but subscriptions of the api-keys subgraph go over a WebSocket, one for each credential.

import { gatewayConfig as common } from "./hive-gateway.config.mjs";

export const gatewayConfig = {
  ...common,
  transportEntries: {
    "api-keys": {
      options: {
        subscriptions: {
          kind: "ws",
          // The payload of connection_init: a WebSocket gets none of the client's headers.
          options: { connectionParams: { Authorization: "{context.authorization}" } },
        },
      },
    },
  },
};
