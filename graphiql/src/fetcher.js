// How GraphiQL reaches the API: POST for queries and mutations, WebSocket (graphql-transport-ws) for subscriptions.
import { getOperationAST } from "graphql";
import { createClient } from "graphql-ws";

import { keptHeadersParsed } from "./key.js";

export function createFetcher(endpoint) {
  const url = new URL(endpoint, location.href);
  const socketUrl = new URL(url);
  socketUrl.protocol = url.protocol.replace("http", "ws");

  return (operation, { headers, documentAST } = {}) => {
    // GraphiQL reads the schema before its headers editor is there.
    const given = withoutBlankCredential(headers ?? keptHeadersParsed());
    const kind = documentAST && getOperationAST(documentAST, operation.operationName)?.operation;
    if (kind === "subscription") return subscribe(socketUrl, operation, given);
    return operation.operationName === "IntrospectionQuery"
      ? readSchema(url, operation, given)
      : post(url, operation, given);
  };
}

/** Where the schema is for callers alone, the page opens with advice, not with the error that a missing key earns. */
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
    throw failure(`The answer is no JSON: ${response.status} ${response.statusText} ${answer.slice(0, 200)}`);
  }
}

/** An observable, which GraphiQL can stop at once; a socket of its own, since each may have another credential. */
function subscribe(url, operation, headers) {
  const authorization = authorizationOf(headers);
  const client = createClient({
    url: url.href,
    connectionParams: authorization && { Authorization: authorization },
    retryAttempts: 0, // better to show why the service ended it than to hide that by trying again
  });
  return {
    subscribe: ({ next, error, complete }) => ({
      unsubscribe: client.subscribe(operation, { next, complete, error: (cause) => error(readable(cause)) }),
    }),
  };
}

function readable(cause) {
  if (cause instanceof CloseEvent) return failure(`The service ended it: ${cause.code} ${cause.reason}`.trim());
  return cause instanceof Event ? failure("The service could not be reached over WebSocket.") : cause;
}

/** GraphiQL shows an error's stack, which tells nothing here. */
function failure(message) {
  const error = new Error(message);
  delete error.stack;
  return error;
}

/** The page opens with `Bearer ` to be completed: until then nothing is sent, rather than a wrong credential. */
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
