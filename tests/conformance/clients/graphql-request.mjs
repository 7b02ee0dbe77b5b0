// graphql-request: requests by POST, and a query by GET.

import { ClientError, GraphQLClient } from "graphql-request";
import { LIST, domain, headers, recordingFetch, scenario, sent, url, userId } from "./service.mjs";

const client = new GraphQLClient(url, { headers });
const steps = await scenario(
  (text, variables) => client.request(text, variables),
  (error) => (error instanceof ClientError ? error.response.errors[0].extensions.code : String(error)),
);
const byGet = new GraphQLClient(url, { headers, method: "GET", fetch: recordingFetch, jsonSerializer: JSON });
const counted = [(await byGet.request(LIST, { input: { ...domain, userId } })).apiKeys.totalCount];
console.log(JSON.stringify({ ...steps, counted, sent, followed: [] }));
