// How GraphiQL calls the API: POST for queries and mutations, WebSocket (graphql-transport-ws) for subscriptions.
import { getOperationAST } from "graphql";
import { createClient } from "graphql-ws";

import { keptHeadersParsed } from "./key.js";

export function createFetcher(endpoint) {
  const url = new URL(endpoint, location.href);
  const socketUrl = new URL(url);
  socketUrl.protocol = url.protocol.replace("http", "ws");

  return (operation, { headers, documentAST } = {}) => {
    // GraphiQL reads the schema before its headers editor exists.
    const given = withoutBlankCredential(headers ?? keptHeadersParsed());
    const kind = documentAST && getOperationAST(documentAST, operation.operationName)?.operation;
    if (kind === "subscription") return subscribe(socketUrl, operation, given);
    return operation.operationName === "IntrospectionQuery"
      ? readSchema(url, operation, given)
      : post(url, operation, given);
  };
}

/** Without a key, a schema that requires one gives advice instead of an error. */
async function readSchema(url, operation, headers) {
  const answer = await post(url, operation, headers);
  if (answer.data || authorizationOf(headers)) return answer;
  return { data: null, advice: "The schema is shown to callers with a key: paste yours into Headers, on the left." };
}

async function post(url, operation, headers) {
  const response = await fetch(url, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      Accept: "application/graphql-response+json, application/json;q=0.9",
      ...headers,
    },
    body: JSON.stringify(operation),
  });
  const answer = await response.text();
  try {
    return JSON.parse(answer);
  } catch {
    throw failure(`The response is not JSON: ${response.status} ${response.statusText} ${answer.slice(0, 200)}`);
  }
}

/** An observable, which GraphiQL can stop at once. Each has its own socket, since its credential may differ. */
function subscribe(url, operation, headers) {
  const authorization = authorizationOf(headers);
  const client = createClient({
    url: url.href,
    connectionParams: authorization && { Authorization: authorization },
    retryAttempts: 0, // show why the service closed the connection; a retry would hide it
  });
  return {
    subscribe: ({ next, error, complete }) => ({
      unsubscribe: client.subscribe(operation, { next, complete, error: (cause) => error(readable(cause)) }),
    }),
  };
}

function readable(cause) {
  if (cause instanceof CloseEvent) return failure(`The service closed the connection: ${cause.code} ${cause.reason}`.trim());
  return cause instanceof Event ? failure("The service could not be reached over WebSocket.") : cause;
}

/** An error without its stack, which GraphiQL would show. */
function failure(message) {
  const error = new Error(message);
  delete error.stack;
  return error;
}

/** Leave out `Bearer ` without a key, which the page starts with, so that no wrong credential is sent. */
function withoutBlankCredential(headers) {
  const isBlank = ([name, value]) => isAuthorization(name) && /^(bearer)?\s*$/i.test(value);
  return Object.fromEntries(Object.entries(headers).filter((header) => !isBlank(header)));
}

function authorizationOf(headers) {
  return headers[Object.keys(headers).find(isAuthorization)];
}

function isAuthorization(name) {
  return name.toLowerCase() === "authorization";
}
