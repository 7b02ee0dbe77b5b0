// All about one key: its fields, its secrets and their rotation, and its audit log as a timeline.
import { useApolloClient, useQuery } from "@apollo/client/react";
import { Fragment, useContext, useEffect, useRef, useState, type SubmitEvent } from "react";

import { useAttempts } from "./attempts.ts";
import { mayPass, reason } from "./client.ts";
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
import { date, ROLES, stateOf, title } from "./text.ts";
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
          <Secrets info={key} viewer={viewer} isRotating={isRotating} onRotating={setIsRotating} onRotated={readAgain} />
          <Edit info={key} />
        </>
      )}
      <Timeline domainId={domainId} apiKeyId={apiKeyId} version={key?.updatedAt ?? ""} />
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

interface SecretsProps {
  info: KeyDetailsFragment;
  viewer: Viewer;
  isRotating: boolean;
  onRotating: (is: boolean) => void;
  onRotated: () => void;
}

function Secrets({ info, viewer, isRotating, onRotating, onRotated }: SecretsProps) {
  const client = useApolloClient();
  const showSecret = useContext(ShowSecret);
  const attempts = useAttempts();
  const [failure, setFailure] = useState("");
  const [isUnanswered, setIsUnanswered] = useState(false); // the same attempt may return a secret that was made already
  const [isEnding, setIsEnding] = useState(false); // the question whether to is open
  const [seconds, setSeconds] = useState("86400");
  const { domainId, apiKeyId } = info;
  const older = info.secrets.find(({ expiresAt }) => expiresAt);

  async function rotate() {
    const input = attempts.identified({ domainId, apiKeyId, overlapSeconds: Number(seconds) }, viewer);
    setFailure("");
    onRotating(true); // a second rotation would end the secret that is about to be shown
    try {
      const { data } = await client.mutate({ mutation: RotateDocument, variables: { input }, fetchPolicy: "no-cache" });
      attempts.end();
      setIsUnanswered(false);
      const secret = data?.rotateApiKey?.apiKey;
      if (secret) showSecret({ title: <>The new secret of <bdi>{title(info)}</bdi></>, secret });
      onRotated();
    } catch (error) {
      attempts.end(error);
      setIsUnanswered("requestId" in input && mayPass(error));
      setFailure(reason(error));
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
        {info.secrets.map((secret) => (
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
            <option value="0">no time</option>
            <option value="3600">one hour</option>
            <option value="86400">one day</option>
            <option value="604800">one week</option>
          </select>
        </label>
        <button disabled={isRotating || (info.secrets.length > 1 && !isUnanswered)} onClick={() => void rotate()}>
          Rotate
        </button>
        {info.secrets.length > 1 && <button onClick={() => setIsEnding(true)}>End the older secret</button>}
      </div>
      {info.secrets.length > 1 && !isUnanswered && <p className="soft">End the older secret to rotate the key again.</p>}
      {failure && (
        <p role="alert">
          {failure} {isUnanswered && "Rotate again within ten minutes: if there is a new secret already, you get that one."}
        </p>
      )}
      {isEnding && (
        <Question title="End the older secret?" yes="End it" onYes={() => void endOverlap()} onClose={() => setIsEnding(false)}>
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
