// Queries and mutations of the tabs. The response of one is shown in its own tab, also if another tab is active when it
// arrives: GraphiQL itself shows it in that other tab. The response of a mutation may be the only one that has a secret,
// so it is shown also if another operation was run in its tab meanwhile, beside the response of that one.

/** `tab` is the active tab: `id()` is its id, and `show(answer)` shows a response in it. */
export function createAnswers(tab) {
  // Of each tab that waits for a response, what was sent, the newest first; `answer` is missing until it arrives. The
  // mutations whose responses have arrived stay among them until the tab waits for nothing any more.
  const byTab = new Map();
  const late = new Set(); // the tabs that were not active when a response arrived

  /** The responses of a tab to show now: the only one as it is, several with the newest first. */
  function shown(id) {
    const all = byTab.get(id);
    const answers = all.filter(({ answer }) => answer).map(({ answer }) => answer);
    if (answers.length === all.length) byTab.delete(id);
    return answers.length === 1 ? answers[0] : { responsesSoFar: answers.length, newestFirst: answers };
  }

  return {
    /** An observable of the response of a request that was sent just now. */
    of(request, isMutation) {
      const id = tab.id();
      const sent = { isMutation };
      byTab.set(id, [sent, ...(byTab.get(id) ?? []).filter(({ isMutation }) => isMutation)]);
      const arrival = request
        .catch((error) => ({ errors: [{ message: error.message }] }))
        .then((answer) => (sent.answer = answer));
      return {
        subscribe(observer) {
          // GraphiQL unsubscribes for "Stop" and for a change of the tab: neither takes back what was sent.
          let isWatched = true;
          void arrival.then(() => {
            const all = byTab.get(id) ?? [];
            if (!all.includes(sent)) return; // the tab is closed, or this is a query and another operation was run
            if (tab.id() !== id) late.add(id);
            else if (!isWatched || all[0] !== sent) tab.show(shown(id));
            else {
              observer.next(shown(id));
              observer.complete();
            }
          });
          return { unsubscribe: () => (isWatched = false) };
        },
      };
    },

    /** Whether the response of a mutation of the active tab has not arrived yet. */
    isMutationOpen: () => (byTab.get(tab.id()) ?? []).some((sent) => sent.isMutation && !sent.answer),

    /** Show the responses that arrived while the tab was not active. */
    showLate() {
      const id = tab.id();
      if (late.delete(id)) tab.show(shown(id));
    },

    /** Forget those of tabs that are no more. */
    keepOnly(tabs) {
      for (const kept of [byTab, late]) for (const id of kept.keys()) if (!tabs.includes(id)) kept.delete(id);
    },
  };
}
