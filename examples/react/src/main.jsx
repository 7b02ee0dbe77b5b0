// Lists the keys of the caller's domain, creates, rotates, disables, enables and deletes them, and follows what other clients change.
import { gql } from "@apollo/client";
import { ApolloProvider, useMutation, useQuery, useSubscription } from "@apollo/client/react";
import { useRef, useState } from "react";
import { createRoot } from "react-dom/client";

import { connect, isNotAgain, reason } from "./client.js";

// The cache knows a key by its `id`, so each response that has the key also updates the list.
const KEY = gql`fragment Key on APIKeyInfo { id apiKeyId name userId state hint expiresAt expired }`;
const LIST = gql`
  query ListKeys {
    apiKeys(input: { query: { sort: { key: "api_key_id", desc: true }, page: { limit: 100 } } }) { totalCount results { ...Key } }
  }
  ${KEY}`;
// `apiKey`, the secret, is returned only once, in the response of one of these two. A rotated key's older secret works for another day.
const CREATE = gql`mutation CreateKey($input: CreateAPIKeyRequest!) { made: createApiKey(input: $input) { ...Key apiKey } } ${KEY}`;
const ROTATE = gql`mutation RotateKey($input: RotateAPIKeyRequest!) { made: rotateApiKey(input: $input) { ...Key apiKey } } ${KEY}`;
const DISABLE = gql`mutation DisableKey($input: APIKeyRequest!) { disableApiKey(input: $input) { ...Key } } ${KEY}`;
const ENABLE = gql`mutation EnableKey($input: APIKeyRequest!) { enableApiKey(input: $input) { ...Key } } ${KEY}`;
const DELETE = gql`mutation DeleteKey($input: APIKeyRequest!) { deleteApiKey(input: $input) { id } }`;
const CHANGED = gql`
  subscription KeyChanged {
    apiKeyChanged(input: { types: [CREATED, UPDATED, ENABLED, DISABLED, ROTATED, DELETED] }) { type apiKeyInfo { ...Key } }
  }
  ${KEY}`;

const DOUBLE_CLICK_MS = 500;

function Page() {
  const [client, setClient] = useState(null); // the API key stays in this page's memory
  if (client) return <ApolloProvider client={client}><Keys /></ApolloProvider>;
  return (
    <form action={(form) => setClient(connect(form.get("secret").trim()))}>
      <label>Your API key <input name="secret" type="password" autoComplete="off" required /></label> <button>Show keys</button>
    </form>
  );
}

function Keys() {
  const { data, error, refetch } = useQuery(LIST);
  const { error: notLive } = useSubscription(CHANGED, { onData: () => refetch() });
  if (error && !data) return <p role="alert">{reason(error)}</p>;
  if (!data) return <p>Loading …</p>;
  return (
    <>
      <NewKey />
      {notLive && <p role="alert">Changes are not followed: {reason(notLive)}</p>}
      <table>
        <thead>
          <tr><th scope="col">Name</th><th scope="col">User</th><th scope="col">Secret</th><th scope="col">Ends</th><th scope="col">State</th><td /></tr>
        </thead>
        <tbody>{data.apiKeys.results.map((key) => <Row key={key.id} info={key} />)}</tbody>
      </table>
      {data.apiKeys.totalCount > data.apiKeys.results.length && <p>There are {data.apiKeys.totalCount} keys; these are the newest.</p>}
    </>
  );
}

/** Sends a mutation that makes a secret, and keeps the secret until `forget`. */
function useSecret(mutation) {
  const [secret, setSecret] = useState("");
  // "no-cache" keeps the secret out of the client's cache: only the component has it.
  const [run, { error, loading }] = useMutation(mutation, { fetchPolicy: "no-cache", refetchQueries: [LIST] });
  // The same input has the same id until it succeeds: if the response is lost, the next attempt returns the same secret.
  // Where it cannot, such as because the key was deleted meanwhile, the one after that is another attempt.
  // The service takes a `requestId` of callers with a key; leave it out for those with a token.
  const attempt = useRef({});
  async function send(input) {
    const sent = JSON.stringify(input);
    if (sent !== attempt.current.sent) attempt.current = { sent, requestId: crypto.getRandomValues(new Uint32Array(4)).join("-") };
    const { requestId } = attempt.current;
    try {
      const { data } = await run({ variables: { input: { ...input, requestId } } });
      attempt.current = {};
      setSecret(data.made.apiKey);
    } catch (refusal) {
      if (isNotAgain(refusal)) attempt.current = {}; // `error` says why
    }
  }
  return { secret, send, error, loading, forget: () => setSecret("") };
}

function Secret({ label, made: { secret, forget } }) {
  return (
    <section aria-label={label}>
      <p>The secret is shown only now: <code>{secret}</code></p>
      <button onClick={forget}>I have kept it</button>
    </section>
  );
}

function NewKey() {
  const made = useSecret(CREATE);
  // No `action` of the form: React empties the fields after one, also if the service refuses them.
  function submit(event) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const day = form.get("ends");
    const expiresAt = day ? new Date(`${day}T23:59:59`).toISOString() : undefined; // left out: the service's default
    made.send({ userId: form.get("userId").trim(), name: form.get("name").trim() || null, expiresAt });
  }
  if (made.secret) return <Secret label="The new key's secret" made={made} />;
  return (
    <form onSubmit={submit}>
      <label>User <input name="userId" required maxLength={255} /></label> <label>Name <input name="name" maxLength={255} /></label>{" "}
      <label>Ends <input name="ends" type="date" /></label>{" "}
      <button disabled={made.loading}>Create</button> {made.error && <span role="alert">{reason(made.error)}</span>}
    </form>
  );
}

function Row({ info: { apiKeyId, name, userId, hint, state, expiresAt, expired } }) {
  const made = useSecret(ROTATE);
  const variables = { input: { apiKeyId } };
  const [change, { error }] = useMutation(state === "ENABLED" ? DISABLE : ENABLE, { variables });
  const [remove, { error: notRemoved }] = useMutation(DELETE, { variables, refetchQueries: [LIST] });
  const verb = state === "ENABLED" ? "Disable" : "Enable";
  const failure = error ?? notRemoved ?? made.error;
  // Of a double click, the second one would change the key back.
  const [isBusy, setIsBusy] = useState(false);
  async function once(action) {
    setIsBusy(true);
    await action().catch(() => {}); // `failure` says why
    setTimeout(() => setIsBusy(false), DOUBLE_CLICK_MS);
  }
  const label = name ?? hint;
  return (
    <tr>
      <th scope="row">{label}</th>
      <td>{userId}</td>
      <td><code>{hint}</code></td>
      <td>{expiresAt ? new Date(expiresAt).toLocaleDateString() : "never"}</td>
      <td>{expired ? "expired" : state.toLowerCase()}</td>
      <td>
        {made.secret && <Secret label={`The new secret of ${label}`} made={made} />}
        <button disabled={made.loading || made.secret} aria-label={`Rotate ${label}`} onClick={() => made.send({ apiKeyId })}>Rotate</button>{" "}
        <button disabled={isBusy} aria-label={`${verb} ${label}`} onClick={() => once(change)}>{verb}</button>{" "}
        <button disabled={isBusy} aria-label={`Delete ${label}`} onClick={() => confirm(`Delete ${label}?`) && once(remove)}>Delete</button>
        {failure && <span role="alert"> {reason(failure)}</span>}
      </td>
    </tr>
  );
}

createRoot(document.getElementById("page")).render(<Page />);
