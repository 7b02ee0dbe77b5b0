// Subscriptions of the tabs. Each keeps its last events, and goes on while another tab is active: GraphiQL itself ends a
// subscription when its tab is left, and shows its last event only.
import { TerminatedCloseEvent } from "graphql-ws";

import { authorizationOf, keyState, noteRefusal, onKeyChange } from "../../shared/key.js";
import { isRefusal, REFUSED, socketAddress } from "../../shared/service.js";
import { createSocket } from "../../shared/socket.js";

const MAX_EVENTS = 100; // shown of one subscription, the newest first

export function createSubscriptions(url, tab) {
  const byTab = new Map();

  // What the key may see is shown no longer once the key is forgotten or another one is in use.
  onKeyChange(() => {
    const { secret } = keyState();
    for (const subscription of [...byTab.values()]) if (subscription.isOfOtherKey(secret)) subscription.close();
  });

  function start(operation, headers) {
    const id = tab.id();
    byTab.get(id)?.drop();
    const forget = () => byTab.get(id) === subscription && byTab.delete(id);
    const subscription = begin(url, operation, headers, forget);
    byTab.set(id, Object.assign(subscription, { request: requestOf(operation, headers), editors: tab.editors() }));
    return subscription;
  }

  function observable(id, subscription) {
    return {
      subscribe: (observer) => {
        subscription.attach(observer);
        // GraphiQL says the same for "Stop" and for a change of the tab, which is done a moment later.
        const unsubscribe = () => {
          subscription.detach();
          setTimeout(() => tab.id() === id && !subscription.isWatched() && subscription.drop());
        };
        return { unsubscribe };
      },
    };
  }

  return {
    /** Whether the active tab has a subscription, and its editors are as they were when it began. Another one is dropped. */
    isAsItBegan() {
      const subscription = byTab.get(tab.id());
      if (!subscription || subscription.editors === tab.editors()) return Boolean(subscription);
      subscription.drop();
      return false;
    },

    /** Whether the active tab has a subscription. */
    isActive: () => byTab.has(tab.id()),

    /** Drop the subscriptions of tabs that are no more. */
    keepOnly(tabs) {
      for (const [id, subscription] of byTab) if (!tabs.includes(id)) subscription.drop();
    },

    /** An observable of all events so far. It attaches to the tab's subscription, if that is of the same request. */
    follow(operation, headers) {
      const subscription = byTab.get(tab.id());
      const isSame = subscription?.request === requestOf(operation, headers);
      return observable(tab.id(), isSame ? subscription : start(operation, headers));
    },

    /** The same, but it begins nothing: a subscription of another request is closed, and its events stay. */
    again(operation, headers) {
      const subscription = byTab.get(tab.id());
      if (subscription.request !== requestOf(operation, headers)) subscription.close();
      return observable(tab.id(), subscription);
    },
  };
}

/** What is sent, as a text to compare: the same editors may send another key. */
function requestOf(operation, headers) {
  return JSON.stringify([operation, headers]);
}

/**
 * Subscribe, on a socket of its own, since the credential may differ. A subscription is over when the service completes
 * it, or by `close` or `drop`. `forget` is called once nothing of it is left to show.
 */
function begin(url, operation, headers, forget) {
  const authorization = authorizationOf(headers);
  const { secret } = keyState();
  const isOurs = authorization === `Bearer ${secret}`;
  const client = createSocket({
    url: socketAddress(url),
    connectionParams: authorization && { Authorization: authorization },
    retryAttempts: 0, // show why the service closed the connection; a retry would hide it
  });
  const events = [];
  let count = 0;
  let isOver = false;
  let observer = null;

  const unsubscribe = client.subscribe(operation, {
    next: add,
    complete: () => isOver || complete(),
    error: (cause) => {
      if (isOver) return;
      add({ errors: errorsOf(cause) }); // an event like the others, so that those before it stay
      if (isOurs && isRefusal(cause)) noteRefusal(secret, REFUSED);
      complete();
    },
  });

  function add(event) {
    if (isOurs) noteRefusal(secret, refusalIn(event));
    count += 1;
    events.unshift(event);
    events.length = Math.min(events.length, MAX_EVENTS);
    observer?.next(shown());
  }

  /** The only event as it is; several with the newest first. */
  function shown() {
    return count === 1 ? events[0] : { eventsSoFar: count, newestFirst: events };
  }

  /** Tell GraphiQL that no more events come: now, or else when its tab is active again. */
  function complete() {
    isOver = true;
    if (!observer) return;
    observer.complete();
    forget();
  }

  return {
    /** End it, and show nothing more of it: it was stopped, or its tab is gone or changed. */
    drop() {
      isOver = true;
      unsubscribe();
      forget();
    },

    /** End it, and keep its events to show. */
    close() {
      complete();
      unsubscribe();
    },

    isOfOtherKey: (current) => isOurs && current !== secret,

    attach(next) {
      observer = next;
      if (count) next.next(shown());
      if (isOver) setTimeout(complete); // GraphiQL notes that it has subscribed only after this
    },
    detach: () => (observer = null),
    isWatched: () => observer !== null,
  };
}

/** The message of an event that ends a subscription because its key is no longer valid. */
function refusalIn(event) {
  return event.errors?.find((error) => error.extensions?.code === "UNAUTHENTICATED")?.message ?? "";
}

/** What ended a subscription, as GraphQL errors: those of the service, or the end of the connection. */
function errorsOf(cause) {
  if (Array.isArray(cause)) return cause;
  if (cause instanceof CloseEvent) return [{ message: `The service closed the connection: ${cause.code} ${cause.reason}`.trim() }];
  if (cause instanceof TerminatedCloseEvent) return [{ message: "The connection is lost: the service no longer responds. Run this again." }];
  return [{ message: cause instanceof Event ? "The service could not be reached over WebSocket." : cause.message }];
}
