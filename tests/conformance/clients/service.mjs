// What the clients' scripts share: where the service is, its operations, and a record of what was sent over HTTP.

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

export const url = process.env.SERVICE_URL;
export const socketUrl = url.replace("http", "ws");
export const headers = { Authorization: `Bearer ${process.env.SERVICE_KEY}` };
export const userId = `client-${randomUUID()}`; // this script's own, so that nothing else is in its lists
export const domain = { domainId: "default" };

// A name of its own makes a document that the service never saw.
export const LIST = `query List_${randomUUID().replaceAll("-", "")}($input: APIKeyQuery!) {
  apiKeys(input: $input) { totalCount results { id apiKeyId apiKey name state } }
}`;
export const CREATE = `mutation Create($input: CreateAPIKeyRequest!) {
  createApiKey(input: $input) { id apiKeyId apiKey name state }
}`;
export const DISABLE = `mutation Disable($input: APIKeyRequest!) { disableApiKey(input: $input) { id state } }`;
export const DELETE = `mutation Delete($input: APIKeyRequest!) { deleteApiKey(input: $input) { id apiKeyId } }`;
export const CHANGED = `subscription Changed($input: APIKeyChangedRequest!) {
  apiKeyChanged(input: $input) { type apiKeyInfo { id apiKeyId apiKey state } }
}`;

/** End the process with an error that a subscription was told of: nothing more would come. */
export function failed(error) {
  console.error(error);
  process.exit(1);
}

export const sent = [];

/** `fetch`, noting of each request its method, what it names its document by, and the status of the answer. */
export async function recordingFetch(address, options = {}) {
  const method = options.method ?? "GET";
  const { searchParams } = new URL(address);
  const fields = method === "GET" ? Object.fromEntries(searchParams) : JSON.parse(options.body);
  const extensions = method === "GET" ? JSON.parse(fields.extensions ?? "{}") : fields.extensions;
  const parts = [fields.query && "query", extensions?.persistedQuery && "hash"].filter(Boolean);
  const response = await fetch(address, options);
  sent.push(`${method} ${parts.join("+")} ${response.status}`);
  return response;
}

/** Run each step of what the clients do with requests alone; `run(document, variables)` answers the data. */
export async function scenario(run, codeOf) {
  const created = (await run(CREATE, { input: { ...domain, userId, name: "ci" } })).createApiKey;
  const listed = (await run(LIST, { input: { ...domain, userId } })).apiKeys;
  const input = { ...domain, apiKeyId: created.apiKeyId };
  const disabled = (await run(DISABLE, { input })).disableApiKey;
  const deleted = (await run(DELETE, { input })).deleteApiKey;
  const refused = await run(DELETE, { input }).then(() => null, codeOf);
  const invalid = await run("{ nothing }").then(() => null, codeOf);
  return { created, listed, disabled, deleted, refused, invalid };
}

async function post(query, input) {
  const body = JSON.stringify({ query, variables: { input } });
  const answer = await fetch(url, { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body });
  return (await answer.json()).data;
}

/** What a subscriber is told while another client makes a key, disables and deletes it. */
export async function followed(subscribe) {
  const told = [];
  const stop = subscribe({ input: { ...domain, userId } }, (change) => told.push(change));
  let apiKeyId;
  while (!told.length) {
    // There is no word that a subscription has begun: make keys until one is told of.
    apiKeyId = (await post(CREATE, { ...domain, userId })).createApiKey.apiKeyId;
    for (let waited = 0; waited < 1000 && !told.length; waited += 20) await sleep(20);
  }
  for (const query of [DISABLE, DELETE]) await post(query, { ...domain, apiKeyId });
  while (told.at(-1).apiKeyChanged?.type !== "DELETED") await sleep(20);
  await stop();
  return told
    .map(({ apiKeyChanged: { type, apiKeyInfo } }) => [type, apiKeyInfo.apiKeyId, apiKeyInfo.apiKey])
    .filter(([, id]) => id === apiKeyId)
    .map(([type, , secret]) => [type, secret]);
}
