// The keys of a domain: counts, filters, a list that follows changes, and what can be done with one or several keys.
import { useApolloClient, useQuery } from "@apollo/client/react";
import { useEffect, useMemo, useReducer, useRef, useState, type ReactNode } from "react";

import { mayPass, reason, type Session } from "./client.ts";
import { useAfter, useMinute } from "./clock.ts";
import { Failure } from "./failure.tsx";
import { NO_FILTERS, Filters, listVariables, type Chosen } from "./filters.tsx";
import { KeyPanel } from "./key-panel.tsx";
import { Live, RETRY_MS, SHOWN, useLive } from "./live.tsx";
import { NewKey } from "./new-key.tsx";
import {
  DeleteDocument,
  DisableDocument,
  EnableDocument,
  KeyRowFragmentDoc,
  KeysDocument,
  StatisticsDocument,
  type KeyRowFragment,
  type ViewerQuery,
} from "./operations.generated.ts";
import { nextCount, Plots, statistics } from "./plots.tsx";
import { Question } from "./question.tsx";
import { Table } from "./table.tsx";
import { count, hasEnded, title } from "./text.ts";
import { closeKey, show, useView } from "./view.ts";
import "./list.css";

const PAGE = 25;
const DOUBLE_CLICK_MS = 500; // what systems take for one
const MOST_NAMES = 3; // in a message
const RECOUNT_MS = 60_000; // after counts that could not be read
const DO = { enable: EnableDocument, disable: DisableDocument, delete: DeleteDocument };
const AFTER = { enable: "ENABLED", disable: "DISABLED", delete: null }; // the state of a key then
type Action = keyof typeof DO;

export interface Viewer extends NonNullable<ViewerQuery["viewer"]> {}

interface Message {
  text: ReactNode;
  action: Action;
  undo?: { action: Action; keys: KeyRowFragment[] };
  isError: boolean;
}

interface Props {
  domainId: string;
  viewer: Viewer;
  session: Session;
}

export function Keys({ domainId, viewer, session }: Props) {
  const client = useApolloClient();
  const { domain: _, open, ...chosen } = useView();
  const [cursors, setCursors] = useState<string[]>([]); // of the pages before this one
  const [selected, setSelected] = useState<ReadonlyMap<string, KeyRowFragment>>(new Map());
  const [message, setMessage] = useState<Message | null>(null);
  const [failure, setFailure] = useState<unknown>(); // of the list, until it was read again
  const [isNew, setIsNew] = useState(false);
  const [deleting, setDeleting] = useState<KeyRowFragment[]>([]);
  const heading = useRef<HTMLHeadingElement>(null);
  const busy = useBusy();
  useMinute(); // instants are told as "in 2 minutes"

  // Other filters, also those that "back" returns to, begin with their first page.
  const filters = JSON.stringify(chosen);
  const [listed, setListed] = useState(filters);
  if (listed !== filters) {
    setListed(filters);
    setCursors([]);
    setSelected(new Map());
  }

  const variables = { domainId, ...listVariables(chosen), first: PAGE, after: cursors.at(-1) ?? null };
  const list = useQuery(KeysDocument, { variables, fetchPolicy: "cache-and-network" });
  // "no-cache": their variables change with each end, and the cache would keep all of them.
  const [countedAt, setCountedAt] = useState(Date.now);
  const counted = useMemo(() => statistics(domainId, countedAt), [domainId, countedAt]);
  const stats = useQuery(StatisticsDocument, { variables: counted, fetchPolicy: "no-cache" });
  const counts = stats.data ?? stats.previousData;
  const isCounted = stats.data && !stats.error;
  useAfter(isCounted ? nextCount(stats.data!, countedAt) : countedAt + RECOUNT_MS, () => setCountedAt(Date.now()));
  const live = useLive(domainId, session);
  const page = (list.data ?? list.previousData)?.apiKeysConnection;
  const keys = page?.nodes ?? [];

  useEffect(() => {
    if (list.error || !list.loading) setFailure(list.error);
    if (!list.error || !mayPass(list.error)) return;
    const retry = setTimeout(readAgain, RETRY_MS);
    return () => clearTimeout(retry);
  }, [list.error, list.loading]);

  // The last key of the last page is gone: the page before is the last one now.
  const isPageGone = Boolean(list.data?.apiKeysConnection) && !list.loading && keys.length === 0 && cursors.length > 0;
  useEffect(() => {
    if (isPageGone) setCursors(cursors.slice(0, -1));
  }, [isPageGone, cursors.length]);

  // Filters may list other keys when one has ended. Nobody reads a hidden page: it is read again when it is shown.
  const justEnded = document.hidden ? 0 : keys.filter((key) => !key.expired && hasEnded(key)).length;
  useEffect(() => {
    if (justEnded) readAgain();
  }, [justEnded]);

  // With a deleted key the focused button is gone: go on from the top of the list.
  useEffect(() => {
    if (message?.action === "delete" && document.activeElement === document.body) heading.current?.focus();
  }, [message, keys.length]);

  function readAgain() {
    void client.refetchQueries({ include: SHOWN });
  }

  /** The state of a key as far as it is known now: it may have been selected long ago. */
  function stateNow(key: KeyRowFragment) {
    const id = client.cache.identify({ ...key });
    return (client.cache.readFragment({ id, fragment: KeyRowFragmentDoc, fragmentName: "KeyRow" }) ?? key).state;
  }

  /** Do it with each key; report how many it changed, which failed and why, and offer to undo it. */
  async function run(action: Action, targets: KeyRowFragment[]) {
    if (busy.has(targets)) return;
    const same = targets.filter((key) => stateNow(key) === AFTER[action]); // nothing changes, so "undo" leaves them too
    const results = await busy.during(targets, () =>
      Promise.allSettled(
        targets.map(({ apiKeyId }) =>
          client.mutate({ mutation: DO[action], variables: { input: { domainId, apiKeyId } } }),
        ),
      ),
    );
    const done = targets.filter((_, index) => results[index]?.status === "fulfilled");
    const changed = done.filter((key) => !same.includes(key));
    const already = done.filter((key) => same.includes(key));
    const failed = targets.filter((key) => !done.includes(key));
    const refusal = results.find((result) => result.status === "rejected");
    const verb = { enable: "Enabled", disable: "Disabled", delete: "Deleted" }[action];
    const what = changed.length === 1 ? <bdi>{title(changed[0]!)}</bdi> : `${changed.length} keys`;
    const text = (
      <>
        {changed.length > 0 && (
          <>
            {verb} {what}.{" "}
          </>
        )}
        {already.length > 0 && (
          <>
            {verb} already: <Names keys={already} />.{" "}
          </>
        )}
        {refusal && (
          <>
            Not {verb.toLowerCase()}: <Names keys={failed} />. {reason(refusal.reason)}
          </>
        )}
      </>
    );
    const opposite = { enable: "disable", disable: "enable", delete: null }[action] as "enable" | "disable" | null;
    const undo = opposite && changed.length ? { action: opposite, keys: changed } : undefined;
    setMessage({ text, undo, action, isError: Boolean(refusal) });
    // Those that failed stay selected.
    setSelected((before) => new Map([...before].filter(([id]) => !done.some((key) => key.id === id))));
    readAgain();
  }

  function start(action: Action, targets: KeyRowFragment[]) {
    if (busy.has(targets)) return;
    if (action === "delete") setDeleting(targets);
    else void run(action, targets);
  }

  const several = [...selected.values()];
  return (
    <>
      {counts && <Plots data={counts} onState={(state) => show({ state })} onUser={(userId) => show({ userId })} />}
      <section className="card list" aria-label="Keys" aria-busy={list.loading && !list.data}>
        <div className="bar-of-list">
          <h2 ref={heading} tabIndex={-1}>
            Keys of <bdi>{domainId}</bdi> {page?.totalCount != null && <span className="count">{count(page.totalCount)}</span>}
          </h2>
          <Live {...live} />
          <button className="main" onClick={() => setIsNew(true)}>
            New key
          </button>
        </div>
        <Filters chosen={chosen} onChange={show} />
        {several.length > 0 && (
          <div className="several" role="group" aria-label="Selected keys">
            <span>{several.length} selected</span>
            <button aria-disabled={busy.has(several)} onClick={() => start("disable", several)}>
              Disable
            </button>
            <button aria-disabled={busy.has(several)} onClick={() => start("enable", several)}>
              Enable
            </button>
            <button className="danger" aria-disabled={busy.has(several)} onClick={() => start("delete", several)}>
              Delete
            </button>
            <button onClick={() => setSelected(new Map())}>Clear</button>
          </div>
        )}
        {failure != null && <Failure text={reason(failure)} again={readAgain} />}
        {page && keys.length > 0 && (
          <Table keys={keys} selected={selected} isBusy={(key) => busy.has([key])} onSelect={setSelected} onOpen={({ apiKeyId }) => show({ open: apiKeyId })} onAction={(action, key) => start(action, [key])} />
        )}
        {!page && failure == null && <p className="notice">Loading…</p>}
        {page && keys.length === 0 && cursors.length === 0 && failure == null && <Empty chosen={chosen} clear={() => show(NO_FILTERS)} create={() => setIsNew(true)} />}
        {page && (cursors.length > 0 || page.pageInfo.hasNextPage) && (
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
            <span>{message.text}</span>
            {message.undo && <Undo {...message.undo} isBusy={busy.has(message.undo.keys)} run={run} />}
            <button aria-label="Close this message" onClick={() => setMessage(null)}>
              ✕
            </button>
          </p>
        )}
      </div>
      {isNew && <NewKey domainId={domainId} viewer={viewer} onClose={() => (setIsNew(false), readAgain())} />}
      {open && <KeyPanel key={open} apiKeyId={open} domainId={domainId} viewer={viewer} onClose={() => (closeKey(), readAgain())} />}
      {deleting.length > 0 && (
        <Question
          title={deleting.length === 1 ? <>Delete <bdi>{title(deleting[0]!)}</bdi>?</> : `Delete ${deleting.length} keys?`}
          yes="Delete"
          onYes={() => void run("delete", deleting)}
          onClose={() => setDeleting([])}
        >
          <ul className="names scroll" aria-label="Keys to delete" tabIndex={0}>
            {deleting.map((key) => (
              <li key={key.id}>
                {deleting.length > 1 && (
                  <>
                    <b>
                      <bdi>{title(key)}</bdi>
                    </b>{" "}
                  </>
                )}
                of user <bdi>{key.userId}</bdi> <code>{key.hint}</code>
              </li>
            ))}
          </ul>
          <p>Programs that use {deleting.length === 1 ? "it" : "them"} stop working. This cannot be undone; disabling can.</p>
        </Question>
      )}
    </>
  );
}

interface UndoProps {
  action: Action;
  keys: KeyRowFragment[];
  isBusy: boolean;
  run: (action: Action, keys: KeyRowFragment[]) => Promise<void>;
}

function Undo({ action, keys, isBusy, run }: UndoProps) {
  return (
    <button aria-disabled={isBusy} onClick={() => void run(action, keys)}>
      Undo
    </button>
  );
}

/** The names of the first few keys. */
function Names({ keys }: { keys: KeyRowFragment[] }) {
  return (
    <>
      {keys.slice(0, MOST_NAMES).map((key, index) => (
        <span key={key.id}>
          {index > 0 && ", "}
          <bdi>{title(key)}</bdi>
        </span>
      ))}
      {keys.length > MOST_NAMES && ` and ${keys.length - MOST_NAMES} more`}
    </>
  );
}

/** The keys that are being changed, and for the time of a double click those that were. */
function useBusy() {
  const ids = useRef(new Set<string>());
  const [, render] = useReducer((times: number) => times + 1, 0);

  async function during<Result>(keys: KeyRowFragment[], work: () => Promise<Result>): Promise<Result> {
    for (const { id } of keys) ids.current.add(id);
    render();
    try {
      return await work();
    } finally {
      setTimeout(() => {
        for (const { id } of keys) ids.current.delete(id);
        render();
      }, DOUBLE_CLICK_MS);
    }
  }
  return { has: (keys: KeyRowFragment[]) => keys.some(({ id }) => ids.current.has(id)), during };
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
