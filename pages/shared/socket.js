// A WebSocket that notices a lost connection. Browsers do not: nothing arrives on it for minutes, and nothing is said.
import { createClient } from "graphql-ws";

const PING_MS = 10_000;
const PONG_MS = 5_000;
const MAX_RETRY_MS = 15_000;

/**
 * A client of graphql-ws. It gives a connection up when the service has not responded for 15 seconds at most, and at
 * once when the browser goes offline; then its `closed` event comes. It connects again as soon as it can.
 */
export function createSocket(options) {
  const client = createClient({ ...options, keepAlive: PING_MS, retryWait });
  const giveUp = () => client.terminate();
  let timer;
  client.on("ping", (isReceived) => {
    if (!isReceived) timer = setTimeout(giveUp, PONG_MS);
  });
  client.on("pong", (isReceived) => isReceived && clearTimeout(timer));
  client.on("connected", () => addEventListener("offline", giveUp));
  client.on("closed", () => {
    clearTimeout(timer);
    removeEventListener("offline", giveUp);
  });
  return client;
}

/** Wait before the next attempt: longer each time, but never after the browser is online again. */
function retryWait(retries) {
  const wait = Math.min(MAX_RETRY_MS, 1_000 * 2 ** retries) * (0.5 + Math.random() / 2); // not all browsers at once
  return new Promise((resolve) => {
    const go = () => {
      clearTimeout(timer);
      removeEventListener("online", go);
      resolve();
    };
    const timer = setTimeout(go, wait);
    addEventListener("online", go);
  });
}
