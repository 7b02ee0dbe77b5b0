// The keys of a domain: counts, filters, a list that follows changes, and what can be done with one or several keys.
import { useApolloClient, useQuery, useSubscription } from "@apollo/client/react";
import { useEffect, useRef, useState } from "react";

import { Failure } from "./app.tsx";
import { reason, type Session } from "./client.ts";
import { NO_FILTERS, Filters, listVariables, type Chosen } from "./filters.tsx";
import { KeyPanel } from "./key-panel.tsx";
import { NewKey } from "./new-key.tsx";
import {
  ChangedDocument,
  DeleteDocument,
  DisableDocument,
  EnableDocument,
  KeysDocument,
  StatisticsDocument,
  type KeyRowFragment,
  type ViewerQuery,
} from "./operations.generated.ts";
import { Plots, statistics } from "./plots.tsx";
import { Question } from "./question.tsx";
import { Table } from "./table.tsx";
import { title } from "./text.ts";

const PAGE = 25;
const TOGETHER_MS = 400; // changes that come at once are one new read
const DO = { enable: EnableDocument, disable: DisableDocument, delete: DeleteDocument };
type Action = keyof typeof DO;

export interface Viewer extends NonNullable<ViewerQuery["viewer"]> {}

interface Props {
  domainId: string;
  viewer: Viewer;
  session: Session;
}

export function Keys({ domainId, viewer, session }: Props) {
  const client = useApolloClient();
  const [chosen, setChosen] = useState<Chosen>(NO_FILTERS);
  const [cursors, setCursors] = useState<string[]>([]); // of the pages before this one
  const [selected, setSelected] = useState<ReadonlyMap<string, KeyRowFragment>>(new Map());
  const [message, setMessage] = useState<{ text: string; undo?: () => void; isError?: boolean } | null>(null);
  const [shown, setShown] = useState<KeyRowFragment | null>(null);
  const [isNew, setIsNew] = useState(false);
  const [deleting, setDeleting] = useState<KeyRowFragment[]>([]);
  const [counts] = useState(() => statistics(domainId));

  const variables = { domainId, ...listVariables(chosen), first: PAGE, after: cursors.at(-1) ?? null };
  const list = useQuery(KeysDocument, { variables, fetchPolicy: "cache-and-network" });
  const stats = useQuery(StatisticsDocument, { variables: counts });
  const live = useLive(domainId, session);
  const page = (list.data ?? list.previousData)?.apiKeysConnection;
  const keys = page?.nodes ?? [];

  function filter(change: Partial<Chosen>) {
    setChosen((before) => ({ ...before, ...change }));
    setCursors([]);
    setSelected(new Map());
  }

  function readAgain() {
    void client.refetchQueries({ include: [KeysDocument, StatisticsDocument] });
  }

  /** Do it with each key; report how many succeeded, the first reason if one failed, and offer to undo it. */
  async function run(action: Action, targets: KeyRowFragment[]) {
    const results = await Promise.allSettled(
      targets.map(({ apiKeyId }) =>
        client.mutate({ mutation: DO[action], variables: { input: { domainId, apiKeyId } } }),
      ),
    );
    const done = targets.filter((_, index) => results[index]?.status === "fulfilled");
    const failed = results.find((result) => result.status === "rejected");
    const verb = { enable: "Enabled", disable: "Disabled", delete: "Deleted" }[action];
    const what = done.length === 1 ? title(done[0]!) : `${done.length} keys`;
    const text = [done.length > 0 && `${verb} ${what}.`, failed && reason(failed.reason)].filter(Boolean).join(" ");
    const opposite = { enable: "disable", disable: "enable", delete: null }[action] as "enable" | "disable" | null;
    const undo = opposite && done.length ? () => void run(opposite, done) : undefined;
    setMessage({ text, undo, isError: Boolean(failed) });
    setSelected(new Map());
    readAgain();
  }

  function start(action: Action, targets: KeyRowFragment[]) {
    if (action === "delete") setDeleting(targets);
    else void run(action, targets);
  }

  const several = [...selected.values()];
  return (
    <>
      {stats.data && <Plots data={stats.data} onState={(state) => filter({ state })} onUser={(userId) => filter({ userId })} />}
      <section className="card list" aria-label="Keys">
        <div className="bar-of-list">
          <h2>
            Keys of {domainId} {page?.totalCount != null && <span className="count">{page.totalCount.toLocaleString("en")}</span>}
          </h2>
          <Live {...live} />
          <button className="main" onClick={() => setIsNew(true)}>
            New key
          </button>
        </div>
        <Filters chosen={chosen} onChange={filter} />
        {several.length > 0 && (
          <div className="several" role="group" aria-label="Selected keys">
            <span>{several.length} selected</span>
            <button onClick={() => start("disable", several)}>Disable</button>
            <button onClick={() => start("enable", several)}>Enable</button>
            <button className="danger" onClick={() => start("delete", several)}>
              Delete
            </button>
            <button onClick={() => setSelected(new Map())}>Clear</button>
          </div>
        )}
        {list.error && <Failure text={reason(list.error)} again={readAgain} />}
        {page ? (
          <Table keys={keys} selected={selected} onSelect={setSelected} onOpen={setShown} onAction={(action, key) => start(action, [key])} />
        ) : (
          !list.error && <p className="notice">Loading…</p>
        )}
        {page && keys.length === 0 && <Empty chosen={chosen} clear={() => filter(NO_FILTERS)} create={() => setIsNew(true)} />}
        {page && (
          <nav className="pages" aria-label="Pages">
            <button disabled={!cursors.length} onClick={() => setCursors(cursors.slice(0, -1))}>
              Previous
            </button>
            <span>Page {cursors.length + 1}</span>
            <button
              disabled={!page.pageInfo.hasNextPage || list.loading}
              onClick={() => setCursors([...cursors, page.pageInfo.endCursor!])}
            >
              Next
            </button>
          </nav>
        )}
      </section>
      <div className="toast" role={message?.isError ? "alert" : "status"}>
        {message && (
          <p>
            {message.text} {message.undo && <button onClick={message.undo}>Undo</button>}{" "}
            <button aria-label="Close this message" onClick={() => setMessage(null)}>
              ✕
            </button>
          </p>
        )}
      </div>
      {isNew && <NewKey domainId={domainId} viewer={viewer} onClose={() => (setIsNew(false), readAgain())} />}
      {shown && <KeyPanel row={shown} domainId={domainId} onClose={() => (setShown(null), readAgain())} />}
      {deleting.length > 0 && (
        <Question
          title={deleting.length === 1 ? `Delete ${title(deleting[0]!)}?` : `Delete ${deleting.length} keys?`}
          yes="Delete"
          onYes={() => void run("delete", deleting)}
          onClose={() => setDeleting([])}
        >
          <ul className="names">
            {deleting.map((key) => (
              <li key={key.id}>
                <b>{title(key)}</b> of {key.userId} <code>{key.hint}</code>
              </li>
            ))}
          </ul>
          <p>Programs that use {deleting.length === 1 ? "it" : "them"} stop working. This cannot be undone; disabling can.</p>
        </Question>
      )}
    </>
  );
}

function Empty({ chosen, clear, create }: { chosen: Chosen; clear: () => void; create: () => void }) {
  const isFiltered = Object.entries(chosen).some(([name, value]) => name !== "order" && value);
  return (
    <p className="empty">
      {isFiltered ? "No key matches these filters." : "There are no keys here yet."}{" "}
      <button onClick={isFiltered ? clear : create}>{isFiltered ? "Clear the filters" : "Create a key"}</button>
    </p>
  );
}

/** Whether changes arrive by themselves. After each change, and after a lost connection, lists are read again. */
function useLive(domainId: string, { socket, isConnected }: Session) {
  const client = useApolloClient();
  const [connected, setConnected] = useState(isConnected);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);

  function readSoon() {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => void client.refetchQueries({ include: [KeysDocument, StatisticsDocument] }), TOGETHER_MS);
  }
  useEffect(() => {
    setConnected(isConnected());
    const ends = [
      socket.on("connected", (_socket, _payload, wasRetry) => {
        setConnected(true);
        if (wasRetry) readSoon();
      }),
      socket.on("closed", () => setConnected(false)),
    ];
    return () => {
      clearTimeout(timer.current);
      for (const end of ends) end();
    };
  }, [socket]);
  // The cache updates a key by its `id`; which keys are listed is read again.
  const { error } = useSubscription(ChangedDocument, { variables: { domainId }, onData: readSoon });
  return { connected, error };
}

function Live({ connected, error }: { connected: boolean; error?: unknown }) {
  const text = error ? "Not live" : connected ? "Live" : "Connecting…";
  return (
    <p role="status" className={`live ${connected && !error ? "on" : "off"}`} title={error ? reason(error) : "Changes are shown as they happen"}>
      {text}
    </p>
  );
}
