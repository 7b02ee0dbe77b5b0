// What both pages know of the service: its refusals, over HTTP and over WebSocket.
import { noteRefusal } from "./key.js";

const FORBIDDEN = 4403; // the code with which the service closes a connection for an invalid key
export const REFUSED = "Invalid API key: it is wrong, disabled, expired or deleted.";

/** Note what a response says of the key that the request carried: 401 is a refusal. */
export async function noteResponse(secret, response) {
  if (response.ok) noteRefusal(secret, "");
  if (response.status !== 401) return;
  const answer = await response.clone().json().catch(() => null);
  noteRefusal(secret, answer?.errors?.[0]?.message ?? REFUSED);
}

/** Whether the service closed a WebSocket because it refuses the key. */
export function isRefusal(cause) {
  return cause instanceof CloseEvent && cause.code === FORBIDDEN;
}

/** The address of the API's WebSocket. */
export function socketAddress(endpoint) {
  return new URL(endpoint).href.replace("http", "ws");
}
