// Lists, creates and disables keys. What is asked and what is answered has its type from the schema.

import { ClientError, GraphQLClient } from "graphql-request";
import { CreateKeyDocument, DisableKeyDocument, ListKeysDocument, type KeyFragment } from "./generated.js";

const url = process.env.IDENTITY_URL ?? "http://127.0.0.1:8000/graphql";
const domainId = process.env.IDENTITY_DOMAIN ?? "default";
const client = new GraphQLClient(url, { headers: { Authorization: `Bearer ${process.env.IDENTITY_KEY ?? ""}` } });

const shown = (key: KeyFragment): string =>
  [key.apiKeyId, key.state, key.role, key.userId, key.hint, key.name ?? ""].join("  ");

async function list(): Promise<void> {
  const { apiKeys } = await client.request(ListKeysDocument, { input: { domainId } });
  for (const key of apiKeys?.results ?? []) console.log(shown(key));
}

async function create(userId: string, name?: string): Promise<void> {
  const { createApiKey } = await client.request(CreateKeyDocument, { input: { domainId, userId, name } });
  if (!createApiKey) throw new Error("The service answered without a key.");
  console.log(shown(createApiKey));
  console.log(`Keep the secret now, it is not shown again: ${createApiKey.apiKey}`);
}

async function disable(apiKeyId: string): Promise<void> {
  const { disableApiKey } = await client.request(DisableKeyDocument, { input: { domainId, apiKeyId } });
  if (disableApiKey) console.log(shown(disableApiKey));
}

async function main([command, id, name]: string[]): Promise<void> {
  if (command === "list") await list();
  else if (command === "create" && id) await create(id, name);
  else if (command === "disable" && id) await disable(id);
  else {
    console.error("Usage: npm start -- list | create USER_ID [NAME] | disable API_KEY_ID");
    process.exitCode = 2;
  }
}

/** An error in one line: code and message of the service, if it responded. A proxy's response may have any form. */
function told(error: unknown): string {
  if (!(error instanceof ClientError)) return `${url} cannot be used: ${String(error).split("\n", 1)[0]}`;
  const { errors, status } = error.response;
  const refused = errors?.[0];
  const code = refused?.extensions?.code;
  return code ? `${code}: ${refused.message}` : `${url} cannot be used: HTTP status ${status}`;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(told(error));
  process.exitCode = 1;
}
