// The keys of a domain: a list that follows their changes, and forms to create, rotate, disable, enable and delete them.

import { useApolloClient, useQuery, useSubscription } from "@apollo/client/react";
import { useEffect, useRef, useState } from "react";
import { reason } from "./client.js";
import { CHANGED, CREATE, DELETE, DISABLE, ENABLE, LIST, ROTATE } from "./operations.js";

const OVERLAP_SECONDS = 24 * 60 * 60; // how long the old secret is accepted after a rotation
const DAY = 24 * 60 * 60 * 1000;

export function Keys({ domainId, socket }) {
  const client = useApolloClient();
  const [created, setCreated] = useState(null);
  const [failure, setFailure] = useState("");
  const connected = useConnected(socket);
  const { data, error, loading } = useQuery(LIST, { variables: { domainId } });
  const { error: notLive } = useSubscription(CHANGED, {
    variables: { domainId },
    onData: ({ data: { data } }) => data && follow(client.cache, domainId, data.apiKeyChanged),
  });

  /** Run a mutation. Returns whether it succeeded, and shows the reason if not. */
  async function run(mutation, input, options) {
    setFailure("");
    try {
      return (await client.mutate({ mutation, variables: { input: { domainId, ...input } }, ...options })).data;
    } catch (error) {
      setFailure(reason(error));
      return null;
    }
  }

  async function create(form) {
    const days = Number(form.get("days"));
    const input = {
      userId: form.get("userId").trim(),
      name: form.get("name").trim() || null,
      role: form.get("role"),
      expiresAt: days ? new Date(Date.now() + days * DAY).toISOString() : null,
    };
    // "no-cache" keeps the secret out of the client's cache: it is only in this component's state, until the person closes it.
    const options = { fetchPolicy: "no-cache", refetchQueries: ["ListKeys"] };
    const made = await run(CREATE, input, options);
    if (made) setCreated(made.createApiKey);
    return made !== null;
  }

  async function rotate({ apiKeyId, name, hint }) {
    if (!confirm(`Give ${name ?? hint} another secret? The old one is accepted for a day more.`)) return;
    const options = { fetchPolicy: "no-cache", refetchQueries: ["ListKeys"] };
    const made = await run(ROTATE, { apiKeyId, overlapSeconds: OVERLAP_SECONDS }, options);
    if (made) setCreated(made.rotateApiKey);
  }

  async function remove({ id, apiKeyId, name, hint }) {
    if (!confirm(`Delete ${name ?? hint}? What uses it stops working, and it cannot be brought back.`)) return;
    await run(DELETE, { apiKeyId }, { update: (cache) => drop(cache, domainId, id) });
  }

  if (error && !data) return <p role="alert">{reason(error)}</p>;
  const keys = data?.apiKeys?.results ?? [];
  return (
    <>
      <NewKey onCreate={create} />
      {created && <Secret created={created} onDone={() => setCreated(null)} />}
      {failure && <p role="alert">{failure}</p>}
      <section className="card">
        <div className="bar">
          <h2>
            Keys of <q>{domainId}</q>
          </h2>
          <p role="status" className={notLive ? "off" : connected ? "on" : ""}>
            {notLive ? `Not live: ${reason(notLive)}` : connected ? "Live" : "Connecting …"}
          </p>
        </div>
        {loading && !data ? <p>Loading …</p> : <KeyTable {...{ keys, run, rotate, remove }} />}
        {data?.apiKeys?.totalCount > keys.length && <p>The newest {keys.length} of {data.apiKeys.totalCount}.</p>}
      </section>
    </>
  );
}

function NewKey({ onCreate }) {
  const [busy, setBusy] = useState(false);

  async function submit(event) {
    event.preventDefault();
    const form = event.currentTarget;
    setBusy(true);
    if (await onCreate(new FormData(form))) form.reset();
    setBusy(false);
  }

  return (
    <form className="card" onSubmit={submit}>
      <h2>New key</h2>
      <label>
        User
        <input name="userId" required maxLength={255} />
      </label>
      <label>
        Name
        <input name="name" maxLength={255} placeholder="what it is for" />
      </label>
      <label>
        Role
        <select name="role" defaultValue="USER">
          <option value="USER">User</option>
          <option value="VERIFIER">Verifier</option>
          <option value="DOMAIN_OWNER">Domain owner</option>
          <option value="SYSTEM">System</option>
        </select>
      </label>
      <label>
        Ends
        <select name="days" defaultValue="90">
          <option value="30">in 30 days</option>
          <option value="90">in 90 days</option>
          <option value="365">in a year</option>
          <option value="0">never</option>
        </select>
      </label>
      <button className="main" disabled={busy}>
        Create
      </button>
    </form>
  );
}

function Secret({ created, onDone }) {
  const section = useRef(null);
  useEffect(() => section.current.focus(), [created]);
  return (
    <section className="card secret" ref={section} tabIndex={-1} aria-label="The new key's secret">
      <h2>Keep this secret now</h2>
      <p>
        It is the whole key <q>{created.name ?? created.hint}</q> of {created.userId}, and it is shown this once.
      </p>
      <code>{created.apiKey}</code>
      <div className="actions">
        <button onClick={() => navigator.clipboard.writeText(created.apiKey)}>Copy</button>
        <button className="main" onClick={onDone}>
          I have kept it
        </button>
      </div>
    </section>
  );
}

function KeyTable({ keys, run, rotate, remove }) {
  if (!keys.length) return <p>No keys yet.</p>;
  return (
    <div className="scroll">
      <table>
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">User</th>
            <th scope="col">Role</th>
            <th scope="col">Secret</th>
            <th scope="col">Created</th>
            <th scope="col">Ends</th>
            <th scope="col">State</th>
            <th scope="col">
              <span className="unseen">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {keys.map((key) => (
            <KeyRow key={key.id} info={key} {...{ run, rotate, remove }} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function KeyRow({ info, run, rotate, remove }) {
  const { apiKeyId, name, userId, role, hint, createdAt, expiresAt, expired, state } = info;
  const enabled = state === "ENABLED";
  const verb = enabled ? "Disable" : "Enable";
  return (
    <tr>
      <th scope="row">{name ?? <i>no name</i>}</th>
      <td>{userId}</td>
      <td>{role.replace("_", " ").toLowerCase()}</td>
      <td>
        <code>{hint}</code>
      </td>
      <td>
        <time dateTime={createdAt}>{new Date(createdAt).toLocaleDateString()}</time>
      </td>
      <td className={expired ? "off" : ""}>
        {expiresAt ? <time dateTime={expiresAt}>{new Date(expiresAt).toLocaleDateString()}</time> : "never"}
      </td>
      <td className={enabled ? "on" : "off"}>{enabled ? "enabled" : "disabled"}</td>
      <td className="actions">
        <button aria-label={`${verb} ${name ?? hint}`} onClick={() => run(enabled ? DISABLE : ENABLE, { apiKeyId })}>
          {verb}
        </button>
        <button aria-label={`Rotate ${name ?? hint}`} onClick={() => rotate(info)}>
          Rotate
        </button>
        <button aria-label={`Delete ${name ?? hint}`} className="danger" onClick={() => remove(info)}>
          Delete
        </button>
      </td>
    </tr>
  );
}

function useConnected(socket) {
  const [connected, setConnected] = useState(false);
  useEffect(() => {
    const stop = [socket.on("connected", () => setConnected(true)), socket.on("closed", () => setConnected(false))];
    return () => stop.forEach((one) => one());
  }, [socket]);
  return connected;
}

/** Apply a change to the cache. A new state needs nothing: the cache updates a key by its `id`. */
function follow(cache, domainId, { type, apiKeyInfo }) {
  if (type === "DELETED") drop(cache, domainId, apiKeyInfo.id);
  if (type !== "CREATED") return;
  cache.updateQuery({ query: LIST, variables: { domainId } }, (data) => {
    if (!data?.apiKeys || data.apiKeys.results.some(({ id }) => id === apiKeyInfo.id)) return data;
    const { apiKeys } = data;
    return { apiKeys: { ...apiKeys, totalCount: apiKeys.totalCount + 1, results: [apiKeyInfo, ...apiKeys.results] } };
  });
}

function drop(cache, domainId, dropped) {
  cache.updateQuery({ query: LIST, variables: { domainId } }, (data) => {
    const results = data?.apiKeys?.results.filter(({ id }) => id !== dropped);
    if (!results || results.length === data.apiKeys.results.length) return data;
    return { apiKeys: { ...data.apiKeys, totalCount: data.apiKeys.totalCount - 1, results } };
  });
  cache.evict({ id: cache.identify({ __typename: "APIKeyInfo", id: dropped }) });
}
