// How GraphiQL calls the API: POST for queries and mutations, WebSocket (graphql-transport-ws) for subscriptions.
import { getOperationAST, parse } from "graphql";

import { authorizationOf, keyState, nameOfAuthorization } from "../../shared/key.js";
import { noteResponse } from "../../shared/service.js";
import { createAnswers } from "./answers.js";
import { createSubscriptions } from "./subscriptions.js";

/** `tab` is GraphiQL's active tab: its `id()`, the texts of its `editors()`, and `show(answer)`. */
export function createFetcher(endpoint, tab) {
  const url = new URL(endpoint, location.href);
  const subscriptions = createSubscriptions(url, tab);
  const answers = createAnswers(tab);
  let isReturn = false;

  function fetcher(operation, { headers } = {}) {
    const sent = withKey(headers ?? {});
    if (operation.operationName === "IntrospectionQuery") return readSchema(url, operation, sent);
    if (isReturn) return subscriptions.again(operation, sent);
    const kind = kindOf(operation);
    if (kind !== "subscription") return answers.of(post(url, operation, sent), kind === "mutation");
    // Its events would replace that response, which may have a secret.
    if (answers.isMutationOpen()) throw failure("This tab still waits for the response of a mutation: run this afterwards, or in another tab.");
    return subscriptions.follow(operation, sent);
  }

  /** Show the active tab's subscription again. GraphiQL's `run` is what attaches to it, and sends nothing here. */
  function attachAgain(run) {
    isReturn = true;
    void run(); // it calls the fetcher before it waits for anything
    isReturn = false;
  }

  /** End what belongs to tabs that are no more. */
  function keepOnly(tabs) {
    subscriptions.keepOnly(tabs);
    answers.keepOnly(tabs);
  }
  return Object.assign(fetcher, { subscriptions, answers, attachAgain, keepOnly });
}

/** The kind of an operation, read from its own text: what GraphiQL has parsed may be that of the tab before. */
function kindOf({ query, operationName }) {
  try {
    return getOperationAST(parse(query), operationName)?.operation;
  } catch {
    return undefined; // the service says what is wrong with it
  }
}

/** The headers of a tab, with the page's key unless they have a credential of their own. */
function withKey(headers) {
  const { secret } = keyState();
  return !secret || authorizationOf(headers) ? headers : { ...headers, Authorization: `Bearer ${secret}` };
}

/** A key that is refused does not hide a public schema. Without a key, a schema that requires one gives advice. */
async function readSchema(url, operation, headers) {
  const answer = await post(url, operation, headers);
  if (answer.data) return answer;
  const advice = { data: null, advice: "The schema is shown to callers with a valid key: enter yours at the bottom right." };
  if (!authorizationOf(headers)) return advice;
  const { [nameOfAuthorization(headers)]: _, ...others } = headers;
  const open = await post(url, operation, others);
  return open.data ? open : answer;
}

async function post(url, operation, headers) {
  const { secret } = keyState();
  const response = await fetch(url, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      Accept: "application/graphql-response+json, application/json;q=0.9",
      ...headers,
    },
    body: JSON.stringify(operation),
  }).catch(() => {
    throw failure("The service could not be reached. Is it running, and are you online?");
  });
  if (authorizationOf(headers) === `Bearer ${secret}`) await noteResponse(secret, response);
  const answer = await response.text();
  try {
    return JSON.parse(answer);
  } catch {
    throw failure(`The response is not JSON: ${response.status} ${response.statusText} ${answer.slice(0, 200)}`);
  }
}

/** An error without its stack, which GraphiQL would show. */
function failure(message) {
  const error = new Error(message);
  delete error.stack;
  return error;
}
