// What the console shows: the domain, the filters and the open key. It is kept in the address behind `#`, so that reload,
// back and forward keep it too, and browsers do not send it to the service.
import { useEffect, useSyncExternalStore } from "react";

import { keyState, randomId, VIEWS } from "../../shared/key.js";
import { NO_FILTERS, ORDERS, STATES, USES, type Chosen } from "./filters.tsx";
import { ROLES } from "./text.ts";

export interface View extends Chosen {
  /** Of SYSTEM alone; "" is the caller's own. */
  domain: string;
  /** The id of the key whose details are open, or "". */
  open: string;
}

const BACK_MS = 5_000;
const NOTHING: View = { ...NO_FILTERS, domain: "", open: "" };
const CHOICES: Partial<Record<keyof View, object>> = { state: STATES, role: ROLES, used: USES, order: ORDERS };
const NAMES = Object.keys(NOTHING) as (keyof View)[];
const listeners = new Set<() => void>();
let current = { hash: "", view: NOTHING };
let changesAfterBack: Partial<View>[] | null = null; // browsers go back later than they are told to: null if they have
let givingUp: ReturnType<typeof setTimeout>;

// Each entry of the history bears the mark of the sign-in that made it, and is emptied when it is met after that sign-in has
// ended: else "back" would show what another person looked for. An address without a mark is a link that somebody followed.
function mark(): string {
  const known = sessionStorage.getItem(VIEWS);
  const its = known ?? randomId();
  if (!known) sessionStorage.setItem(VIEWS, its);
  return its;
}

function emptyOthers(): boolean {
  const its = (history.state as { mark?: string } | null)?.mark;
  const isOthers = Boolean(its) && its !== sessionStorage.getItem(VIEWS);
  if (isOthers) history.replaceState(null, "", location.pathname + location.search);
  return isOthers;
}

emptyOthers();
addEventListener("popstate", emptyOthers); // before those that read the view

// "Back" may show the page as it was left, and another person may have signed in since, in another page of this tab. Then
// nothing of it may stay: the address is emptied before anything is read with the other key, and the page begins anew.
function beginAnew(event: PageTransitionEvent) {
  if (!event.persisted || !emptyOthers()) return;
  for (const listener of listeners) listener();
  location.reload();
}
addEventListener("pageshow", beginAnew, { capture: true }); // before the one that takes the other key

export function useView(): View {
  useEffect(() => {
    const state = history.state as { mark?: string } | null;
    if (keyState().secret && !state?.mark) history.replaceState({ ...state, mark: mark() }, "");
  });
  return useSyncExternalStore(follow, read);
}

function follow(listener: () => void) {
  listeners.add(listener);
  addEventListener("popstate", listener);
  return () => {
    listeners.delete(listener);
    removeEventListener("popstate", listener);
  };
}

/** The view that the address names. It was written by anybody: whatever is no choice is left out. */
function read(): View {
  if (location.hash === current.hash) return current.view;
  const named = new URLSearchParams(location.hash.slice(1));
  const isValid = (name: keyof View, value: string) => !CHOICES[name] || Object.hasOwn(CHOICES[name], value);
  const entries = [...named].filter(([name, value]) => NAMES.includes(name as keyof View) && isValid(name as keyof View, value));
  current = { hash: location.hash, view: { ...NOTHING, ...Object.fromEntries(entries) } };
  return current.view;
}

/** Show something else. "Back" returns to what is shown now, but not to each text on the way while somebody types. */
export function show(change: Partial<View>) {
  if (changesAfterBack) return void changesAfterBack.push(change);
  const before = read();
  const after = { ...before, ...change };
  const changed = NAMES.filter((name) => before[name] !== after[name]);
  if (!changed.length) return;
  const isTyping = changed.length === 1 && ["text", "userId"].includes(changed[0]!) && before[changed[0]!] !== "";
  const named = new URLSearchParams(NAMES.filter((name) => after[name] !== NOTHING[name]).map((name) => [name, after[name]]));
  const hash = named.size ? `#${named}` : "";
  const address = location.pathname + location.search + hash;
  if (isTyping) history.replaceState(history.state, "", address);
  else history.pushState({ opened: Boolean(change.open), mark: mark() }, "", address);
  for (const listener of listeners) listener();
}

/** Close the open key: go back to before it was opened, if that is the page before this one. */
export function closeKey() {
  if (changesAfterBack) return; // closed twice: back once
  if (!(history.state as { opened?: boolean } | null)?.opened) return show({ open: "" });
  changesAfterBack = [];
  givingUp = setTimeout(showChanges, BACK_MS); // something else came instead, as another address
  history.back();
}

function showChanges() {
  clearTimeout(givingUp);
  const changes = changesAfterBack ?? [];
  changesAfterBack = null;
  changes.forEach(show);
}
addEventListener("popstate", showChanges);

/** Forget what is shown, with the key that may see it. */
export function showNothing() {
  changesAfterBack &&= [];
  history.replaceState(null, "", location.pathname + location.search);
  for (const listener of listeners) listener();
}
