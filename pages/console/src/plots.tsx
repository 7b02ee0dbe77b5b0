// Counts of a domain's keys as small plots: per state, per user, and keys made per day.
import { useState } from "react";

import { Days, dayOf, lastDays } from "./days.tsx";
import type { StatisticsQuery, StatisticsQueryVariables } from "./operations.generated.ts";
import { capital, count, DAY } from "./text.ts";

const MOST_USERS = 6;

type Row = Record<string, string | number | null>;

/** Of a domain, of the keys that have ended at an instant, and of the next one that ends. */
export function statistics(domainId: string, at: number): StatisticsQueryVariables {
  const count = { operator: "COUNT", name: "count" } as const;
  const since = `${lastDays()[0]}T00:00:00Z`;
  return {
    domainId,
    at: new Date(at).toISOString(),
    states: { domainId, query: { aggregate: [{ group: { keys: [{ key: "state", name: "state" }], fields: [count] } }] } },
    expired: {
      domainId,
      query: {
        filter: [
          { key: "state", value: "ENABLED", operator: "EQ" },
          { key: "expires_at", value: new Date(at).toISOString(), operator: "DATETIME_LTE" },
        ],
        aggregate: [{ group: { keys: [{ key: "state", name: "state" }], fields: [count] } }],
      },
    },
    users: {
      domainId,
      query: {
        aggregate: [
          { group: { keys: [{ key: "user_id", name: "user_id" }], fields: [count] } },
          { sort: { keys: [{ key: "count", desc: true }, { key: "user_id" }] } },
          { limit: MOST_USERS },
        ],
      },
    },
    days: {
      domainId,
      query: {
        filter: [{ key: "created_at", value: since, operator: "DATETIME_GTE" }],
        aggregate: [
          { group: { keys: [{ key: "created_at", name: "day", dateFormat: "%Y-%m-%d" }], fields: [count] } },
        ],
      },
    },
  };
}

/** When the counts of an instant are no longer true although no key was changed: a key ends, or the UTC day does. */
export function nextCount(data: StatisticsQuery, at: number): number {
  const midnight = (Math.floor(at / DAY) + 1) * DAY;
  const end = data.next?.nodes[0]?.expiresAt;
  return end ? Math.min(midnight, Date.parse(end)) : midnight;
}

interface Props {
  data: StatisticsQuery;
  onState: (state: "ENABLED" | "DISABLED" | "EXPIRED") => void;
  onUser: (userId: string) => void;
}

export function Plots({ data, onState, onUser }: Props) {
  // On a narrow screen the keys come first.
  const [isOpen] = useState(() => matchMedia("(min-width: 700px)").matches);
  if (!rows(data.states).length) return null;
  const made = new Map(rows(data.days).map((row) => [dayOf(String(row.day)), Number(row.count)]));
  return (
    <details open={isOpen}>
      <summary>Counts</summary>
      <section className="plots" aria-label="Counts">
        <figure className="card">
          <figcaption>By state</figcaption>
          <Bars rows={states(data)} name="state" onPick={(state) => onState(state as Parameters<typeof onState>[0])} />
        </figure>
        <figure className="card">
          <figcaption>By user</figcaption>
          <Bars rows={rows(data.users)} name="user_id" onPick={onUser} />
        </figure>
        <figure className="card">
          <figcaption>
            Created in the last 30 days: <b>{count([...made.values()].reduce((sum, one) => sum + one, 0))}</b>
          </figcaption>
          <Days series={[{ name: "created", days: made }]} />
        </figure>
      </section>
    </details>
  );
}

function Bars({ rows, name, onPick }: { rows: Row[]; name: string; onPick: (value: string) => void }) {
  const most = Math.max(1, ...rows.map(({ count }) => Number(count)));
  return (
    <ul className="bars">
      {rows.map((row) => (
        <li key={String(row[name])}>
          <button title={`Show only ${row[name]}`} onClick={() => onPick(String(row[name]))}>
            <span className="bar" style={{ inlineSize: `${(Number(row.count) / most) * 100}%` }} />
            <bdi className="label">{name === "state" ? capital(String(row[name])) : row[name]}</bdi>
            <b>{count(Number(row.count))}</b>
          </button>
        </li>
      ))}
    </ul>
  );
}

/** The counts by state, as the list says it: of the enabled keys, those that have ended are expired. */
function states(data: StatisticsQuery): Row[] {
  const expired = Number(rows(data.expired)[0]?.count ?? 0);
  const others = rows(data.states).map((row) => (row.state === "ENABLED" ? { ...row, count: Number(row.count) - expired } : row));
  return [...others, { state: "EXPIRED", count: expired }].filter(({ count }) => Number(count) > 0);
}

function rows(statistic: unknown): Row[] {
  return (statistic as { results?: Row[] } | null)?.results ?? [];
}
