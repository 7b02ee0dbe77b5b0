// A plot of the last 30 days in UTC: a bar a day, of one or several counts above one another.
import { count, DAY } from "./text.ts";

const DAYS = 30;
const HEIGHT = 56;

interface Series {
  name: string;
  /** The count of each day that has one, by `dayOf`. */
  days: ReadonlyMap<string, number>;
  className?: string;
}

export function Days({ series }: { series: Series[] }) {
  const days = lastDays();
  const most = Math.max(1, ...days.map((day) => sum(series, day)));
  const total = series.map(({ name, days }) => `${count([...days.values()].reduce((all, one) => all + one, 0))} ${name}`);
  return (
    <svg role="img" aria-label={`${total.join(", ")} in ${DAYS} days`} viewBox="0 0 300 60" preserveAspectRatio="none">
      {days.map((day, index) => {
        let top = 58;
        return (
          <g key={day}>
            <title>{`${day}: ${series.map(({ name, days }) => `${days.get(day) ?? 0} ${name}`).join(", ")}`}</title>
            <rect className="ground" x={index * 10 + 1} width="8" y={58} height={2} />
            {series.map(({ name, days, className }) => {
              const height = ((days.get(day) ?? 0) / most) * HEIGHT;
              top -= height;
              return <rect key={name} className={className} x={index * 10 + 1} width="8" y={top} height={height} />;
            })}
          </g>
        );
      })}
    </svg>
  );
}

/** The last 30 days, today last. */
export function lastDays(): string[] {
  const today = Math.floor(Date.now() / DAY);
  return Array.from({ length: DAYS }, (_, index) => dayOf(new Date((today - DAYS + 1 + index) * DAY).toISOString()));
}

/** The day of an instant in UTC. */
export function dayOf(instant: string): string {
  return instant.slice(0, 10);
}

function sum(series: Series[], day: string): number {
  return series.reduce((all, { days }) => all + (days.get(day) ?? 0), 0);
}
