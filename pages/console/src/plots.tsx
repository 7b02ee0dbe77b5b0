// Counts of a domain's keys as small plots: per state, per user, and keys made per day.
import type { StatisticsQuery, StatisticsQueryVariables } from "./operations.generated.ts";
import { DAY } from "./text.ts";

const DAYS = 30;
const MOST_USERS = 6;

type Row = Record<string, string | number | null>;

export function statistics(domainId: string): StatisticsQueryVariables {
  const count = { operator: "COUNT", name: "count" } as const;
  const since = new Date(Math.floor(Date.now() / DAY) * DAY - (DAYS - 1) * DAY).toISOString();
  return {
    states: { domainId, query: { aggregate: [{ group: { keys: [{ key: "state", name: "state" }], fields: [count] } }] } },
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

interface Props {
  data: StatisticsQuery;
  onState: (state: "ENABLED" | "DISABLED") => void;
  onUser: (userId: string) => void;
}

export function Plots({ data, onState, onUser }: Props) {
  const perDay = new Map(rows(data.days).map((row) => [String(row.day), Number(row.count)]));
  const today = Math.floor(Date.now() / DAY);
  const days = Array.from({ length: DAYS }, (_, index) => {
    const day = new Date((today - DAYS + 1 + index) * DAY).toISOString().slice(0, 10);
    return { day, count: perDay.get(day) ?? 0 };
  });
  const most = Math.max(1, ...days.map(({ count }) => count));
  const made = days.reduce((sum, { count }) => sum + count, 0);
  return (
    <section className="plots" aria-label="Counts">
      <figure className="card">
        <figcaption>By state</figcaption>
        <Bars rows={rows(data.states)} name="state" onPick={(state) => onState(state as "ENABLED" | "DISABLED")} />
      </figure>
      <figure className="card">
        <figcaption>By user</figcaption>
        <Bars rows={rows(data.users)} name="user_id" onPick={onUser} />
      </figure>
      <figure className="card">
        <figcaption>
          Made in the last {DAYS} days: <b>{made}</b>
        </figcaption>
        <svg role="img" aria-label={`${made} keys made in ${DAYS} days, at most ${most} a day`} viewBox="0 0 300 60" preserveAspectRatio="none">
          {days.map(({ day, count }, index) => (
            <rect key={day} x={index * 10 + 1} width="8" y={58 - (count / most) * 56} height={2 + (count / most) * 56}>
              <title>{`${day}: ${count}`}</title>
            </rect>
          ))}
        </svg>
      </figure>
    </section>
  );
}

function Bars({ rows, name, onPick }: { rows: Row[]; name: string; onPick: (value: string) => void }) {
  const most = Math.max(1, ...rows.map(({ count }) => Number(count)));
  if (!rows.length) return <p className="soft">No keys</p>;
  return (
    <ul className="bars">
      {rows.map((row) => (
        <li key={String(row[name])}>
          <button title={`Show only ${row[name]}`} onClick={() => onPick(String(row[name]))}>
            <span className="bar" style={{ inlineSize: `${(Number(row.count) / most) * 100}%` }} />
            <span className="label">{name === "state" ? capital(String(row[name])) : row[name]}</span>
            <b>{Number(row.count).toLocaleString("en")}</b>
          </button>
        </li>
      ))}
    </ul>
  );
}

function capital(text: string): string {
  return text.charAt(0) + text.slice(1).toLowerCase();
}

function rows(statistic: unknown): Row[] {
  return (statistic as { results?: Row[] } | null)?.results ?? [];
}
