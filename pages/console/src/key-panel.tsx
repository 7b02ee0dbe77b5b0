// All about one key: its fields, its secrets and their rotation, and its audit log as a timeline.
import { useApolloClient, useQuery } from "@apollo/client/react";
import { Fragment, useContext, useEffect, useRef, useState, type SubmitEvent } from "react";

import { useAttempts } from "./attempts.ts";
import { mayBeDone, reason } from "./client.ts";
import { useAfter } from "./clock.ts";
import { Failure } from "./failure.tsx";
import type { Viewer } from "./keys.tsx";
import { FieldTexts, scopesOf } from "./new-key.tsx";
import {
  EndOverlapDocument,
  KeyDocument,
  RotateDocument,
  UpdateDocument,
  type KeyDetailsFragment,
  type UpdateAPIKeyRequest,
} from "./operations.generated.ts";
import { Dialog, Question } from "./question.tsx";
import { ShowSecret } from "./secret.tsx";
import { Instant } from "./table.tsx";
import { date, hasEnded, ROLES, stateOf, title } from "./text.ts";
import { readAddresses, readScopes, readTags, tagsText } from "./texts-of-fields.ts";
import { Timeline } from "./timeline.tsx";
import { Usage } from "./usage.tsx";

interface Props {
  apiKeyId: string;
  domainId: string;
  viewer: Viewer;
  onClose: () => void;
}

export function KeyPanel({ apiKeyId, domainId, viewer, onClose }: Props) {
  const [isRotating, setIsRotating] = useState(false);
  const { data, error, refetch } = useQuery(KeyDocument, {
    variables: { domainId, apiKeyId },
    fetchPolicy: "cache-and-network",
  });
  const key = data?.apiKey;
  const name = <bdi>{key ? title(key) : apiKeyId}</bdi>;

  function readAgain() {
    void refetch().catch(() => undefined); // `error` says why
  }

  return (
    <Dialog title={name} className="panel" stays={isRotating} onClose={onClose}>
      <button className="close" aria-label="Close" disabled={isRotating} onClick={onClose}>
        ✕
      </button>
      {error && !key && <Failure text={reason(error)} again={readAgain} />}
      {!error && !key && (data ? <p role="alert">This key was deleted.</p> : <p className="notice">Loading…</p>)}
      {key && (
        <>
          <dl>
            <dt>Id</dt>
            <dd>
              <code>{key.apiKeyId}</code>
            </dd>
            <dt>User, role</dt>
            <dd>
              <bdi>{key.userId}</bdi>, {ROLES[key.role].toLowerCase()}
            </dd>
            <dt>State</dt>
            <dd>
              <span className={`state ${stateOf(key).toLowerCase()}`}>{stateOf(key)}</span>
            </dd>
            <dt>Created</dt>
            <dd>
              {date(key.createdAt)}
              {key.createdBy && (
                <>
                  {" "}
                  by <code>{key.createdBy}</code>
                </>
              )}
            </dd>
            <dt>Ends</dt>
            <dd>{key.expiresAt ? date(key.expiresAt) : "never"}</dd>
            <dt>Last used</dt>
            <dd>{key.lastAccessedAt ? date(key.lastAccessedAt) : "never"}</dd>
            <dt>Scopes</dt>
            <dd>{key.scopes === null ? "all that the role may do" : key.scopes.length ? <Codes texts={key.scopes} /> : "none: it may do nothing"}</dd>
            <Listed term="Tags" texts={key.tags.map(({ name, value }) => `${name}=${value}`)} />
            <Listed term="Addresses" texts={key.allowedAddresses} />
          </dl>
          <Usage counts={key.usage} />
          <Secrets info={key} viewer={viewer} isRotating={isRotating} onRotating={setIsRotating} onChanged={readAgain} />
          <Edit info={key} />
        </>
      )}
      <Timeline domainId={domainId} apiKeyId={apiKeyId} version={key ? (key.updatedAt ?? "as made") : data ? "deleted" : ""} />
    </Dialog>
  );
}

/** A list in the table of the key's fields, if there is anything in it. */
function Listed({ term, texts }: { term: string; texts: readonly string[] | null }) {
  if (!texts?.length) return null;
  return (
    <>
      <dt>{term}</dt>
      <dd>
        <Codes texts={texts} />
      </dd>
    </>
  );
}

function Codes({ texts }: { texts: readonly string[] }) {
  return texts.map((text) => (
    <Fragment key={text}>
      <bdi>
        <code>{text}</code>
      </bdi>{" "}
    </Fragment>
  ));
}

/** For how many seconds the old secret stays valid. */
const OVERLAPS: Record<string, string> = { 0: "no time", 3600: "one hour", 86400: "one day", 604800: "one week" };

interface SecretsProps {
  info: KeyDetailsFragment;
  viewer: Viewer;
  isRotating: boolean;
  onRotating: (is: boolean) => void;
  onChanged: () => void;
}

function Secrets({ info, viewer, isRotating, onRotating, onChanged }: SecretsProps) {
  const client = useApolloClient();
  const showSecret = useContext(ShowSecret);
  const attempts = useAttempts();
  const [failure, setFailure] = useState("");
  const [asked, setAsked] = useState<"" | "end" | "rotate">(""); // the question that is open
  const { domainId, apiKeyId } = info;
  const inputOf = (choice: string) => ({ domainId, apiKeyId, overlapSeconds: Number(choice) });
  const lost = Object.keys(OVERLAPS).find((choice) => attempts.isUnanswered(inputOf(choice)));
  const [seconds, setSeconds] = useState(lost ?? "86400");
  const isRetry = seconds === lost;
  const live = info.secrets.filter((secret) => !hasEnded(secret));
  const older = live.find(({ expiresAt }) => expiresAt);
  const isOverlapping = live.length > 1;
  const endsAll = seconds === "0";
  const ends = info.secrets.flatMap(({ expiresAt }) => (expiresAt ? [Date.parse(expiresAt)] : []));
  useAfter(ends.length ? Math.min(...ends) : null, onChanged);

  async function rotate() {
    const input = attempts.identified(inputOf(seconds), viewer);
    setFailure("");
    onRotating(true); // a second rotation would end the secret that is about to be shown
    try {
      const { data } = await client.mutate({ mutation: RotateDocument, variables: { input }, fetchPolicy: "no-cache" });
      for (const choice in OVERLAPS) attempts.end(inputOf(choice)); // the secret of a lost one may have ended with this
      const secret = data?.rotateApiKey?.apiKey;
      if (secret) showSecret({ title: <>The new secret of <bdi>{title(info)}</bdi></>, secret });
      onChanged();
    } catch (error) {
      attempts.end(inputOf(seconds), error);
      const isUnknown = mayBeDone(error) && !("requestId" in input);
      setFailure(reason(error) + (isUnknown ? " The key may have been rotated: then only another rotation gives you a secret." : ""));
    } finally {
      onRotating(false);
    }
  }

  async function endOverlap() {
    setFailure("");
    try {
      await client.mutate({ mutation: EndOverlapDocument, variables: { input: { domainId, apiKeyId } } });
    } catch (error) {
      setFailure(reason(error));
    }
  }

  return (
    <section>
      <h3>Secrets</h3>
      <ul className="names">
        {live.map((secret) => (
          <li key={secret.hint + secret.createdAt}>
            <code>{secret.hint}</code>, made <Instant at={secret.createdAt} />
            {secret.expiresAt && (
              <>
                , ends <Instant at={secret.expiresAt} />
              </>
            )}
          </li>
        ))}
      </ul>
      <div className="buttons start">
        <label>
          The old secret stays valid for
          <select value={seconds} onChange={(event) => setSeconds(event.target.value)}>
            {Object.entries(OVERLAPS).map(([value, text]) => (
              <option key={value} value={value}>
                {text}
              </option>
            ))}
          </select>
        </label>
        <button
          disabled={isRotating || (isOverlapping && !endsAll && !isRetry)}
          onClick={() => (endsAll && !isRetry ? setAsked("rotate") : void rotate())}
        >
          Rotate
        </button>
        {isOverlapping && <button onClick={() => setAsked("end")}>End the older secret</button>}
      </div>
      {isOverlapping && !endsAll && !isRetry && (
        <p className="soft">End the older secret to rotate the key again, or choose “{OVERLAPS[0]}”, which ends both.</p>
      )}
      {!isRotating && (failure || lost) && (
        <p role="alert">
          {failure || "The response to a rotation was lost."}{" "}
          {lost &&
            `Rotate again within ten minutes with the same choice, “${OVERLAPS[lost]}”: if there is a new secret already, you get that one.`}
        </p>
      )}
      {asked === "rotate" && (
        <Question title="Rotate without an overlap?" yes="Rotate" onYes={() => void rotate()} onClose={() => setAsked("")}>
          <p>
            Programs that use {live.length ? <Codes texts={live.map(({ hint }) => hint)} /> : "it "}
            stop working until they have the new secret. This cannot be undone.
          </p>
        </Question>
      )}
      {asked === "end" && (
        <Question title="End the older secret?" yes="End it" onYes={() => void endOverlap()} onClose={() => setAsked("")}>
          <p>
            Programs that still use {older ? <code>{older.hint}</code> : "it"} stop working. This cannot be undone.
          </p>
        </Question>
      )}
    </section>
  );
}

function Edit({ info }: { info: KeyDetailsFragment }) {
  const [isOpen, setIsOpen] = useState(false);
  return (
    <details onToggle={(event) => setIsOpen(event.currentTarget.open)}>
      <summary>Change name, end, scopes, tags and addresses</summary>
      {isOpen && <EditForm info={info} />}
    </details>
  );
}

interface Texts {
  name: string;
  ends: string;
  scopes: string | null;
  tags: string;
  addresses: string;
}

function textsOf(info: KeyDetailsFragment): Texts {
  return {
    name: info.name ?? "",
    ends: info.expiresAt ? localText(info.expiresAt) : "",
    scopes: info.scopes?.join(" ") ?? null,
    tags: tagsText(info.tags),
    addresses: info.allowedAddresses?.join(" ") ?? "",
  };
}

/** The texts of a form's fields, as a person sees them. */
function textsIn(form: HTMLFormElement): Texts {
  const data = new FormData(form);
  const text = (name: string) => String(data.get(name)).replaceAll("\r", "").trim();
  return { name: text("name"), ends: text("ends"), scopes: scopesOf(data), tags: text("tags"), addresses: text("addresses") };
}

function EditForm({ info }: { info: KeyDetailsFragment }) {
  const client = useApolloClient();
  const [result, setResult] = useState({ text: "", isError: false });
  const [first] = useState(() => textsOf(info));
  const form = useRef<HTMLFormElement>(null);
  // What the fields had when the form was opened or last saved, whatever others change: so only what was typed is sent.
  const before = useRef(first);
  useEffect(() => {
    before.current = textsIn(form.current!);
  }, []);

  async function submit(event: SubmitEvent<HTMLFormElement>) {
    event.preventDefault();
    const texts = textsIn(event.currentTarget);
    const { name, ends, scopes, tags, addresses } = texts;
    const changed = (field: keyof Texts) => texts[field] !== before.current[field];
    const input: UpdateAPIKeyRequest = {
      domainId: info.domainId,
      apiKeyId: info.apiKeyId,
      ...(changed("name") && { name: name || null }),
      ...(changed("ends") && { expiresAt: ends ? new Date(ends).toISOString() : null }),
      ...(changed("scopes") && { scopes: scopes === null ? null : readScopes(scopes) }),
      ...(changed("tags") && { tags: readTags(tags) }),
      ...(changed("addresses") && { allowedAddresses: addresses ? readAddresses(addresses) : null }),
    };
    try {
      await client.mutate({ mutation: UpdateDocument, variables: { input } });
      before.current = texts;
      setResult({ text: "Saved.", isError: false });
    } catch (error) {
      setResult({ text: reason(error), isError: true });
    }
  }

  return (
    <form ref={form} className="fields" onSubmit={(event) => void submit(event)}>
      <label>
        Name
        <input name="name" maxLength={255} defaultValue={first.name} />
      </label>
      <label>
        Ends (empty: never)
        <input name="ends" type="datetime-local" defaultValue={first.ends} />
      </label>
      <FieldTexts scopes={first.scopes} tags={first.tags} addresses={first.addresses} />
      <div className="buttons">
        <span role={result.isError ? "alert" : "status"}>{result.text}</span>
        <button className="main">Save</button>
      </div>
    </form>
  );
}

/** An instant in the form of `datetime-local`, in the browser's time zone. */
function localText(instant: string): string {
  const at = new Date(instant);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
