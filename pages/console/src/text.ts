// Texts that several parts of the console show.
import type { KeyRowFragment } from "./operations.generated.ts";

const DATE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
const AGO = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];
export const DAY = 86_400_000;

export function date(instant: string): string {
  return DATE.format(new Date(instant));
}

/** An instant as "3 days ago" or "in 2 hours". */
export function ago(instant: string): string {
  const seconds = (Date.parse(instant) - Date.now()) / 1000;
  for (const [unit, length] of UNITS) if (Math.abs(seconds) >= length) return AGO.format(Math.round(seconds / length), unit);
  return "just now";
}

/** An integer with separators: 10,000. */
export function count(number: number): string {
  return number.toLocaleString("en");
}

/** `END_OVERLAP` as "End overlap". */
export function capital(name: string): string {
  return name.charAt(0) + name.slice(1).toLowerCase().replaceAll("_", " ");
}

/** What to call a key in a sentence. */
export function title(key: Pick<KeyRowFragment, "name" | "hint" | "apiKeyId">): string {
  return key.name || key.hint || key.apiKeyId;
}

export function stateOf(key: Pick<KeyRowFragment, "state" | "expired" | "expiresAt">): "Enabled" | "Disabled" | "Expired" {
  if (key.state === "DISABLED") return "Disabled";
  return key.expired || hasEnded(key) ? "Expired" : "Enabled";
}

/** Whether the end of a key has passed, also since it was read. */
export function hasEnded({ expiresAt }: Pick<KeyRowFragment, "expiresAt">): boolean {
  return expiresAt !== null && Date.parse(expiresAt) <= Date.now();
}

export const ROLES = { USER: "User", VERIFIER: "Verifier", DOMAIN_OWNER: "Domain owner", SYSTEM: "System" } as const;
