// graphql-eslint's recommended rules for schemas; where we differ, the reason stands beside it.

import graphql from "@graphql-eslint/eslint-plugin";

export default [
  {
    files: ["**/*.graphql"],
    languageOptions: {
      parser: graphql.parser,
      parserOptions: { graphQLConfig: { schema: process.env.SCHEMA } },
    },
    plugins: { "@graphql-eslint": graphql },
    rules: {
      ...graphql.configs["flat/schema-recommended"].rules,
      // `User.userId` and `Domain.domainId` are the keys by which a supergraph's subgraphs know these entities, and the
      // names that Cloudforet's messages give them. The rule has no exceptions, so it is off.
      "@graphql-eslint/no-typename-prefix": "off",
      "@graphql-eslint/strict-id-in-types": [
        "error",
        {
          exceptions: {
            types: [
              "Domain", // entities of other services, known by the keys of federation
              "User",
              "APIKeyConnection", // Relay's connections: their names and fields are Relay's
              "APIKeyEdge",
              "APIKeyAuditConnection",
              "APIKeyAuditEdge",
              "PageInfo",
              "APIKeysInfo", // Cloudforet's message: a page of keys
              "APIKeyChange", // an event
              "APIKeyAuditActor", // a part of an entry
              "APIKeyAuditChange",
              "APIKeySecretInfo", // a part of a key
              "APIKeyTag",
              "APIKeyUsage",
              "APIKeyViewer", // the caller: it has the id of its key
              "DisabledAPIKeys", // an answer: how many, and whether there are more
              "APIKeyExchange", // an answer with a token, which caches shall not keep
              "APIKeyLeakReport", // an answer, the same for every secret
              "APIKeyVerification", // an answer, which caches shall not keep
            ],
          },
        },
      ],
    },
  },
];
