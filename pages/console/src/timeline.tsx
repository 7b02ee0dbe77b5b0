// What was done to a key and what was done with it, the newest first.
import { useQuery } from "@apollo/client/react";
import { useEffect, useRef } from "react";

import { reason } from "./client.ts";
import { Failure } from "./failure.tsx";
import { AuditDocument, type AuditQuery, type AuditQueryVariables, type AuditRowFragment } from "./operations.generated.ts";
import { Instant } from "./table.tsx";
import { capital } from "./text.ts";

interface Props {
  domainId: string;
  apiKeyId: string;
  /** Changes when the key does: then the log is read again. "" until it is known. */
  version: string;
}

export function Timeline({ domainId, apiKeyId, version }: Props) {
  return (
    <>
      <Log title="What was done to it" of={{ domainId, apiKeyId }} version={version} />
      <Log title="What was done with it" of={{ domainId, actorId: apiKeyId }} version={version} />
    </>
  );
}

function Log({ title, of, version }: { title: string; of: AuditQueryVariables; version: string }) {
  const { data, error, loading, refetch, fetchMore } = useQuery(AuditDocument, {
    variables: of,
    fetchPolicy: "network-only",
    notifyOnNetworkStatusChange: true,
  });
  const page = data?.apiKeyAudit;
  const known = useRef(version);
  const last = useRef(readNewest); // what to try again after an error
  useEffect(() => {
    if (known.current && known.current !== version) readNewest();
    known.current = version;
  }, [version]);

  function readNewest() {
    last.current = readNewest;
    const read = page
      ? fetchMore({ updateQuery: (loaded, { fetchMoreResult: newest }) => ({ apiKeyAudit: joined(loaded.apiKeyAudit, newest.apiKeyAudit) }) })
      : refetch();
    void read.catch(() => undefined); // `error` says why
  }

  function readOlder() {
    last.current = readOlder;
    void fetchMore({
      variables: { before: page?.pageInfo.startCursor },
      updateQuery: (newer, { fetchMoreResult: { apiKeyAudit: older } }) =>
        newer.apiKeyAudit && older
          ? { apiKeyAudit: { ...older, nodes: [...older.nodes, ...newer.apiKeyAudit.nodes] } }
          : (newer as { apiKeyAudit: null }),
    }).catch(() => undefined); // `error` says why
  }

  return (
    <section aria-label={title}>
      <h3>{title}</h3>
      {error && <Failure text={reason(error)} again={() => last.current()} />}
      {!page && !error && <p className="soft">Loading…</p>}
      {page && <Entries entries={page.nodes} of={of} />}
      {page?.pageInfo.hasPreviousPage && (
        <button disabled={loading} onClick={readOlder}>
          Show older entries
        </button>
      )}
    </section>
  );
}

type Page = AuditQuery["apiKeyAudit"];

/** The entries that are loaded and the newest ones; the newest alone where entries between them are missing. */
function joined(loaded: Page, newest: Page): Page {
  if (!loaded || !newest) return newest;
  const start = loaded.nodes.findIndex(({ id }) => id === newest.nodes[0]?.id);
  if (start <= 0) return newest;
  return { ...loaded, nodes: [...loaded.nodes.slice(0, start), ...newest.nodes] };
}

function Entries({ entries, of }: { entries: readonly AuditRowFragment[]; of: AuditQueryVariables }) {
  if (!entries.length) return <p className="soft">Nothing is recorded.</p>;
  return (
    <ol className="timeline">
      {entries.toReversed().map((entry) => (
        <li key={entry.id}>
          <b>{capital(entry.action)}</b> <Instant at={entry.at} />
          <div className="change">
            {of.actorId ? <code>{entry.apiKeyId}</code> : <>by {actor(entry.actor, of.apiKeyId)}</>}
          </div>
          {entry.changes
            .filter(({ field, after }) => !(field === "state" && after === entry.action)) // the action says so
            .map(({ field, before, after }) => (
              <div className="change" key={field}>
                {field}: <bdi>{shown(before, field)}</bdi> → <bdi>{shown(after, field)}</bdi>
              </div>
            ))}
          {entry.intact === false && <strong role="alert"> This entry was altered in the database.</strong>}
        </li>
      ))}
    </ol>
  );
}

const ACTORS = {
  COMMAND_LINE: "the command line",
  SERVICE: "the service itself",
  HOLDER: "a sender of its secret",
  UNKNOWN: "an unknown actor",
};

function actor({ kind, userId, apiKeyId }: AuditRowFragment["actor"], own: unknown) {
  if (kind === "PERSON") return <bdi>{userId}</bdi>;
  if (kind !== "KEY") return ACTORS[kind];
  if (apiKeyId === own) return "the key itself";
  return (
    <>
      <bdi>{userId}</bdi> with <code>{apiKeyId}</code>
    </>
  );
}

const UNLIMITED: Record<string, string> = { scopes: "all that the role may do", allowed_addresses: "any" };

function shown(value: unknown, field = ""): string {
  if (value === null && UNLIMITED[field]) return UNLIMITED[field];
  if (value === null || value === undefined || (Array.isArray(value) && !value.length)) return "none";
  if (Array.isArray(value)) return value.map((one) => shown(one)).join(", ");
  if (typeof value === "object" && "name" in value && "value" in value) return `${value.name}=${value.value}`; // a tag
  return typeof value === "string" ? value : JSON.stringify(value);
}
