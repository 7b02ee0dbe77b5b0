// What was done to a key and what was done with it, the newest first.
import { useQuery } from "@apollo/client/react";
import { useEffect } from "react";

import { reason } from "./client.ts";
import { AuditDocument, type AuditRowFragment } from "./operations.generated.ts";
import { Instant } from "./table.tsx";

interface Props {
  domainId: string;
  apiKeyId: string;
  /** Changes when the key does: then the log is read again. */
  version: string;
}

export function Timeline({ domainId, apiKeyId, version }: Props) {
  const { data, error, refetch } = useQuery(AuditDocument, { variables: { domainId, apiKeyId }, fetchPolicy: "network-only" });
  useEffect(() => {
    if (version) void refetch().catch(() => undefined);
  }, [version, refetch]);
  return (
    <section>
      <h3>What was done to it</h3>
      {error && !data && <p role="alert">{reason(error)}</p>}
      {data && <Entries entries={data.done?.nodes ?? []} />}
      <h3>What was done with it</h3>
      {data && <Entries entries={data.did?.nodes ?? []} names />}
    </section>
  );
}

function Entries({ entries, names }: { entries: readonly AuditRowFragment[]; names?: boolean }) {
  if (!entries.length) return <p className="soft">Nothing is recorded.</p>;
  return (
    <ol className="timeline">
      {entries.toReversed().map((entry) => (
        <li key={entry.id}>
          <b>{entry.action.charAt(0) + entry.action.slice(1).toLowerCase().replaceAll("_", " ")}</b>{" "}
          {names && <code>{entry.apiKeyId}</code>} <Instant at={entry.at} />
          {!names && <span className="soft"> by {actor(entry.actor)}</span>}
          {entry.changes.map(({ field, before, after }) => (
            <div className="change" key={field}>
              {field}: {shown(before)} → {shown(after)}
            </div>
          ))}
          {entry.intact === false && <strong role="alert"> This entry was altered in the database.</strong>}
        </li>
      ))}
    </ol>
  );
}

function actor({ kind, userId, apiKeyId }: AuditRowFragment["actor"]): string {
  if (kind === "KEY") return `${userId} with ${apiKeyId}`;
  return kind === "COMMAND_LINE" ? "the command line" : "an actor that cannot be told";
}

function shown(value: unknown): string {
  if (value === null || value === undefined) return "none";
  return typeof value === "string" ? value : JSON.stringify(value);
}
