// Composes the two subgraphs into supergraph.graphql, as `rover supergraph compose --config supergraph.yaml` does.

import { readFileSync, writeFileSync } from "node:fs";
import { composeServices } from "@apollo/composition";
import { parse } from "graphql";

const usersUrl = process.env.USERS_URL ?? "http://127.0.0.1:4001/";
const apiKeysUrl = process.env.API_KEYS_URL ?? "http://127.0.0.1:8000/graphql";

// The subgraph schema of the running service, without Relay's `node`, which other subgraphs may have too. It needs a
// key unless introspection is public.
const headers = { "Content-Type": "application/json" };
if (process.env.IDENTITY_KEY) headers.Authorization = `Bearer ${process.env.IDENTITY_KEY}`;
const body = JSON.stringify({ query: "{ _service { sdl } }" });
const answer = await (await fetch(apiKeysUrl, { method: "POST", headers, body })).json();
if (answer.errors) throw new Error(answer.errors[0].message);

const file = (name) => new URL(name, import.meta.url);
const { errors, supergraphSdl } = composeServices([
  { name: "users", url: usersUrl, typeDefs: parse(readFileSync(file("users.graphql"), "utf8")) },
  { name: "api-keys", url: apiKeysUrl, typeDefs: parse(answer.data._service.sdl) },
]);
if (errors) throw new Error(errors.map(({ message }) => message).join("\n"));
writeFileSync(process.env.SUPERGRAPH ?? file("supergraph.graphql"), supergraphSdl);
