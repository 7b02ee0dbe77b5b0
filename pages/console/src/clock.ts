// The present minute, so that "in 2 minutes" and the end of a key are true also while nothing else changes.
import { useEffect, useSyncExternalStore } from "react";

const MINUTE_MS = 60_000;
const listeners = new Set<() => void>();
let now = Date.now();
let timer: ReturnType<typeof setInterval>;

/** The instant of the last tick, of which there is one a minute. */
export function useMinute(): number {
  return useSyncExternalStore(follow, () => now);
}

/** Call a function when an instant has passed: within a minute, but not before the page is visible. */
export function useAfter(instant: number | null, then: () => void) {
  const minute = useMinute();
  const isDue = instant !== null && instant <= minute && !document.hidden;
  useEffect(() => {
    if (isDue) then();
  }, [isDue, instant]);
}

function follow(listener: () => void) {
  if (!listeners.size) {
    timer = setInterval(tick, MINUTE_MS);
    document.addEventListener("visibilitychange", tick); // timers are late in a page that is not visible
    now = Date.now();
  }
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    if (listeners.size) return;
    clearInterval(timer);
    document.removeEventListener("visibilitychange", tick);
  };
}

function tick() {
  now = Date.now();
  for (const listener of listeners) listener();
}
