// How often a key was used in the last 30 days, and how often it was refused and why.
import { Days, dayOf } from "./days.tsx";
import type { KeyQuery } from "./operations.generated.ts";
import { capital, count } from "./text.ts";

type Counts = NonNullable<NonNullable<KeyQuery["apiKey"]>["usage"]>;

export function Usage({ counts }: { counts: Counts | null }) {
  const [valid, refused] = [true, false].map((isValid) => perDay(counts ?? [], isValid)) as [PerDay, PerDay];
  const reasons = new Map<string, number>();
  for (const { code, count } of counts ?? []) if (code !== "VALID") add(reasons, code, count);
  return (
    <section>
      <h3>Uses in the last 30 days</h3>
      {!counts && <p className="soft">This service does not count uses.</p>}
      {counts?.length === 0 && <p className="soft">It was not used.</p>}
      {counts && counts.length > 0 && (
        <figure>
          <figcaption>
            <b className="good">{count(total(valid))}</b> valid
            {[...reasons].map(([code, number]) => (
              <span key={code}>
                , <b className="bad">{count(number)}</b> refused: {capital(code).toLowerCase()}
              </span>
            ))}
          </figcaption>
          <Days
            series={[
              { name: "valid", days: valid, className: "good" },
              { name: "refused", days: refused, className: "bad" },
            ]}
          />
        </figure>
      )}
    </section>
  );
}

type PerDay = Map<string, number>;

function perDay(counts: Counts, isValid: boolean): PerDay {
  const days: PerDay = new Map();
  for (const { start, code, count } of counts) if ((code === "VALID") === isValid) add(days, dayOf(start), count);
  return days;
}

function add(counts: Map<string, number>, name: string, count: number) {
  counts.set(name, (counts.get(name) ?? 0) + count);
}

function total(days: PerDay): number {
  return [...days.values()].reduce((sum, one) => sum + one, 0);
}
