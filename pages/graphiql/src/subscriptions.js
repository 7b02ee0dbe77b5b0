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
    for (const subscription of [...byTab.values()]) if (subscription.isOfOtherKey(secret)) subscription.finish();
  });

  function start(operation, headers) {
    const id = tab.id();
    byTab.get(id)?.end();
    const subscription = begin(url, operation, headers, () => byTab.get(id) === subscription && byTab.delete(id));
    byTab.set(id, Object.assign(subscription, { text: textOf(operation, headers), texts: tab.texts() }));
    return subscription;
  }

  function observable(id, subscription) {
    return {
      subscribe: (observer) => {
        subscription.attach(observer);
        // GraphiQL says the same for "Stop" and for a change of the tab, which is done a moment later.
        const unsubscribe = () => {
          subscription.detach();
          setTimeout(() => tab.id() === id && !subscription.isWatched() && subscription.end());
        };
        return { unsubscribe };
      },
    };
  }

  return {
    /** Whether the active tab has a subscription, and its editors are as they were when it began. Another one ends. */
    isAsItBegan() {
      const subscription = byTab.get(tab.id());
      if (!subscription || subscription.texts === tab.texts()) return Boolean(subscription);
      subscription.end();
      return false;
    },

    /** Whether the active tab has a subscription. */
    isActive: () => byTab.has(tab.id()),

    /** End the subscriptions of tabs that are no more. */
    keepOnly(tabs) {
      for (const [id, subscription] of byTab) if (!tabs.includes(id)) subscription.end();
    },

    /** An observable of all events so far. It attaches to the tab's subscription, if that is of the same operation. */
    follow(operation, headers) {
      const subscription = byTab.get(tab.id());
      const isSame = subscription?.text === textOf(operation, headers);
      return observable(tab.id(), isSame ? subscription : start(operation, headers));
    },

    /** The same, but it begins nothing: a subscription of another operation ends, and its events stay. */
    again(operation, headers) {
      const subscription = byTab.get(tab.id());
      if (subscription.text !== textOf(operation, headers)) subscription.finish();
      return observable(tab.id(), subscription);
    },
  };
}

function textOf(operation, headers) {
  return JSON.stringify([operation, headers]);
}

/** Each subscription has its own socket, since its credential may differ. `onEnd` is called once its end was shown. */
function begin(url, operation, headers, onEnd) {
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
  let hasEnded = false;
  let observer = null;

  const add = (event) => {
    if (isOurs) noteRefusal(secret, refusalIn(event));
    count += 1;
    events.unshift(event);
    events.length = Math.min(events.length, MAX_EVENTS);
    observer?.next(shown());
  };
  const finish = () => {
    hasEnded = true;
    if (!observer) return; // shown when its tab is active again
    observer.complete();
    onEnd();
  };
  const end = client.subscribe(operation, {
    next: add,
    complete: () => hasEnded || finish(),
    error: (cause) => {
      if (hasEnded) return;
      add({ errors: errorsOf(cause) }); // an event like the others, so that those before it stay
      if (isOurs && isRefusal(cause)) noteRefusal(secret, REFUSED);
      finish();
    },
  });

  /** The only event as it is; several with the newest first. */
  function shown() {
    return count === 1 ? events[0] : { eventsSoFar: count, newestFirst: events };
  }

  return {
    end() {
      end();
      onEnd();
    },
    finish() {
      finish();
      end();
    },
    isOfOtherKey: (current) => isOurs && current !== secret,
    attach(next) {
      observer = next;
      if (count) next.next(shown());
      if (hasEnded) setTimeout(finish); // GraphiQL notes that it has subscribed only after this
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
