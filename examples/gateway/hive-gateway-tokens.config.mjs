// As hive-gateway.config.mjs, behind a proxy that turns keys into tokens (examples/forward-auth): the gateway checks the
// tokens itself, and enforces @requiresScopes. It needs `npm install --no-save @graphql-hive/gateway@2.15.1`.

import { createRemoteJwksSigningKeyProvider } from "@graphql-hive/gateway";
import { gatewayConfig as common } from "./hive-gateway.config.mjs";

const issuer = process.env.GQL_IDENTITY_ISSUER ?? "http://127.0.0.1:8000";

export const gatewayConfig = {
  ...common,
  jwt: {
    signingKeyProviders: [createRemoteJwksSigningKeyProvider({ jwksUri: `${issuer}/.well-known/jwks.json` })],
    // RS256 is among its defaults. For GQL_IDENTITY_SIGNING_ALGORITHM=ES256 add algorithms: ["ES256"].
    tokenVerification: { issuer, audience: issuer },
    reject: { missingToken: true, invalidToken: true },
  },
  genericAuth: {
    mode: "protect-granular",
    resolveUserFn: ({ jwt }) => jwt?.payload,
    // A field that lacks a scope is null, with an error; the others are answered.
    rejectUnauthenticated: false,
  },
};
