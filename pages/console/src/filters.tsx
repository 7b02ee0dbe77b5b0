// The filters and the order of the list, as the arguments of its connection.
import { useEffect, useRef, useState } from "react";

import type { APIKeyFilter, APIKeyOrder, APIKeyRole } from "./operations.generated.ts";
import { DAY, ROLES } from "./text.ts";

const TYPING_MS = 300;

export interface Chosen {
  text: string;
  userId: string;
  state: keyof typeof STATES;
  role: "" | APIKeyRole;
  used: keyof typeof USES;
  order: keyof typeof ORDERS;
}

export const STATES = { "": "Any", ENABLED: "Enabled", DISABLED: "Disabled", EXPIRED: "Expired" } as const;
export const USES = { "": "Any time", never: "Never", week: "Within 7 days", unused: "Not in 30 days" } as const;
export const ORDERS = {
  newest: ["Newest first", "API_KEY_ID", "DESC"],
  oldest: ["Oldest first", "API_KEY_ID", "ASC"],
  name: ["Name", "NAME", "ASC"],
  used: ["Last used first", "LAST_ACCESSED_AT", "DESC"],
  ending: ["Latest end first", "EXPIRES_AT", "DESC"],
} as const;

export const NO_FILTERS: Chosen = { text: "", userId: "", state: "", role: "", used: "", order: "newest" };

export function listVariables(chosen: Chosen) {
  const and: APIKeyFilter[] = [];
  if (chosen.text) and.push({ nameContains: chosen.text });
  if (chosen.role) and.push({ role: chosen.role });
  // As the column says it: a disabled key is disabled, whether its end has passed or not.
  if (chosen.state === "ENABLED" || chosen.state === "EXPIRED") and.push({ expired: chosen.state === "EXPIRED" });
  if (chosen.used === "never") and.push({ accessed: false });
  if (chosen.used === "week") and.push({ lastAccessedAfter: daysAgo(7) });
  if (chosen.used === "unused") and.push({ or: [{ accessed: false }, { lastAccessedBefore: daysAgo(30) }] });
  const [, field, direction] = ORDERS[chosen.order];
  return {
    userId: chosen.userId || null,
    state: chosen.state === "EXPIRED" ? "ENABLED" : chosen.state || null,
    filter: and.length ? { and } : null,
    orderBy: { field, direction } satisfies APIKeyOrder,
  };
}

/** An instant that is the same for the whole day, so that the list's variables do not change all the time. */
function daysAgo(days: number): string {
  return new Date(Math.floor(Date.now() / DAY) * DAY - days * DAY).toISOString();
}

interface Props {
  chosen: Chosen;
  onChange: (change: Partial<Chosen>) => void;
}

export function Filters({ chosen, onChange }: Props) {
  return (
    <div className="filters" role="search" aria-label="Filter keys">
      <Typed label="Name contains" value={chosen.text} onChange={(text) => onChange({ text })} />
      <Typed label="User" value={chosen.userId} onChange={(userId) => onChange({ userId })} />
      <Choice label="State" value={chosen.state} onChange={(state) => onChange({ state })} options={STATES} />
      <Choice label="Role" value={chosen.role} onChange={(role) => onChange({ role })} options={{ "": "Any", ...ROLES }} />
      <Choice label="Last used" value={chosen.used} onChange={(used) => onChange({ used })} options={USES} />
      <Choice label="Order" value={chosen.order} onChange={(order) => onChange({ order })} options={Object.fromEntries(Object.entries(ORDERS).map(([name, [text]]) => [name, text])) as Record<Chosen["order"], string>} />
    </div>
  );
}

interface ChoiceProps<T extends string> {
  label: string;
  value: T;
  options: Record<T, string>;
  onChange: (value: T) => void;
}

export function Choice<T extends string>({ label, value, options, onChange }: ChoiceProps<T>) {
  return (
    <label>
      {label}
      <select value={value} onChange={(event) => onChange(event.target.value as T)}>
        {Object.entries<string>(options).map(([name, text]) => (
          <option key={name} value={name}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

/** A text field that tells its text when the typing pauses. */
function Typed({ label, value, onChange }: { label: string; value: string; onChange: (value: string) => void }) {
  const [text, setText] = useState(value);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => {
    setText((typed) => (typed.trim() === value ? typed : value)); // a blank at the end stays: more is typed
    return () => clearTimeout(timer.current);
  }, [value]);
  function type(next: string) {
    setText(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onChange(next.trim()), TYPING_MS);
  }
  return (
    <label>
      {label}
      <input type="search" value={text} maxLength={255} onChange={(event) => type(event.target.value)} />
    </label>
  );
}
