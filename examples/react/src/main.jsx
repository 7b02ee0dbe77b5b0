// Lists the keys of the caller's domain, creates, disables, enables and deletes them, and follows what other clients change.
import { gql } from "@apollo/client";
import { ApolloProvider, useMutation, useQuery, useSubscription } from "@apollo/client/react";
import { useRef, useState } from "react";
import { createRoot } from "react-dom/client";

import { connect, isNotAgain, reason } from "./client.js";

// The cache knows a key by its `id`, so each response that has the key also updates the list.
const KEY = gql`fragment Key on APIKeyInfo { id apiKeyId name userId state hint }`;
const LIST = gql`
  query ListKeys {
    apiKeys(input: { query: { sort: { key: "api_key_id", desc: true }, page: { limit: 100 } } }) { totalCount results { ...Key } }
  }
  ${KEY}`;
// `apiKey`, the secret, is returned only once, in this response.
const CREATE = gql`mutation CreateKey($input: CreateAPIKeyRequest!) { createApiKey(input: $input) { ...Key apiKey } } ${KEY}`;
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
          <tr><th scope="col">Name</th><th scope="col">User</th><th scope="col">Secret</th><th scope="col">State</th><td /></tr>
        </thead>
        <tbody>{data.apiKeys.results.map((key) => <Row key={key.id} info={key} />)}</tbody>
      </table>
      {data.apiKeys.totalCount > data.apiKeys.results.length && <p>There are {data.apiKeys.totalCount} keys; these are the newest.</p>}
    </>
  );
}

function NewKey() {
  const [secret, setSecret] = useState("");
  // "no-cache" keeps the secret out of the client's cache: only this component has it.
  const [create, { error, loading }] = useMutation(CREATE, { fetchPolicy: "no-cache", refetchQueries: [LIST] });
  // The same input has the same id until it succeeds: if the response is lost, the next attempt returns the same key and secret.
  // Where it cannot, such as because the key was deleted meanwhile, the one after that is another attempt.
  // The service takes a `requestId` of callers with a key; leave it out for those with a token.
  const attempt = useRef({});
  // No `action` of the form: React empties the fields after one, also if the service refuses them.
  async function submit(event) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const input = { userId: form.get("userId").trim(), name: form.get("name").trim() || null };
    const sent = JSON.stringify(input);
    if (sent !== attempt.current.sent) attempt.current = { sent, requestId: crypto.getRandomValues(new Uint32Array(4)).join("-") };
    const { requestId } = attempt.current;
    try {
      const { data } = await create({ variables: { input: { ...input, requestId } } });
      attempt.current = {};
      setSecret(data.createApiKey.apiKey);
    } catch (refusal) {
      if (isNotAgain(refusal)) attempt.current = {}; // `error` says why
    }
  }
  if (secret)
    return (
      <section aria-label="The new key's secret">
        <p>The secret is shown only now: <code>{secret}</code></p>
        <button onClick={() => setSecret("")}>I have kept it</button>
      </section>
    );
  return (
    <form onSubmit={submit}>
      <label>User <input name="userId" required maxLength={255} /></label> <label>Name <input name="name" maxLength={255} /></label>{" "}
      <button disabled={loading}>Create</button> {error && <span role="alert">{reason(error)}</span>}
    </form>
  );
}

function Row({ info: { apiKeyId, name, userId, hint, state } }) {
  const variables = { input: { apiKeyId } };
  const [change, { error }] = useMutation(state === "ENABLED" ? DISABLE : ENABLE, { variables });
  const [remove, { error: notRemoved }] = useMutation(DELETE, { variables, refetchQueries: [LIST] });
  const verb = state === "ENABLED" ? "Disable" : "Enable";
  const failure = error ?? notRemoved;
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
      <td>{state.toLowerCase()}</td>
      <td>
        <button disabled={isBusy} aria-label={`${verb} ${label}`} onClick={() => once(change)}>{verb}</button>{" "}
        <button disabled={isBusy} aria-label={`Delete ${label}`} onClick={() => confirm(`Delete ${label}?`) && once(remove)}>Delete</button>
        {failure && <span role="alert"> {reason(failure)}</span>}
      </td>
    </tr>
  );
}

createRoot(document.getElementById("page")).render(<Page />);
