// Queries and mutations of the tabs. The response of one is shown in its own tab, also if another tab is active when it
// arrives: GraphiQL itself shows it in that other tab. It may be the only one that has a secret, so none is lost.

/** `tab` is the active tab: `id()` is its id, and `show(answer)` shows a response in it. */
export function createAnswers(tab) {
  const newest = new Map(); // of each tab, the request whose response it waits for
  const late = new Map(); // of tabs that were not active when theirs arrived

  return {
    /** An observable of the response of a request that was sent just now. */
    of(sent) {
      const id = tab.id();
      const request = sent.catch((error) => ({ errors: [{ message: error.message }] }));
      newest.set(id, request);
      return {
        subscribe(observer) {
          // GraphiQL unsubscribes for "Stop" and for a change of the tab: neither takes back what was sent.
          let isWatched = true;
          void request.then((answer) => {
            if (newest.get(id) !== request) return; // the tab is closed, or another one was sent
            newest.delete(id);
            if (tab.id() !== id) late.set(id, answer);
            else if (!isWatched) tab.show(answer);
            else {
              observer.next(answer);
              observer.complete();
            }
          });
          return { unsubscribe: () => (isWatched = false) };
        },
      };
    },

    /** Show the response that arrived while the tab was not active. */
    showLate() {
      const id = tab.id();
      if (late.has(id)) tab.show(late.get(id));
      late.delete(id);
    },

    /** Forget those of tabs that are no more. */
    keepOnly(tabs) {
      for (const kept of [newest, late]) for (const id of kept.keys()) if (!tabs.includes(id)) kept.delete(id);
    },
  };
}
