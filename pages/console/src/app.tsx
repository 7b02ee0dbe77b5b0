// The console: asks for a key, then shows the keys that it may see.
import "./page.css"; // first: the styles of the parts come after those of the page

import { ApolloProvider, useQuery } from "@apollo/client/react";
import { StrictMode, useEffect, useState, useSyncExternalStore, type SubmitEvent } from "react";
import { createRoot } from "react-dom/client";

import { hint, keyState, linkNotice, onKeyChange, setKey } from "../../shared/key.js";
import { connect, reason, type Session } from "./client.ts";
import { Failure } from "./failure.tsx";
import { Keys } from "./keys.tsx";
import { ViewerDocument } from "./operations.generated.ts";
import { ROLES, title } from "./text.ts";

function Page() {
  const { secret, refusal } = useSyncExternalStore(onKeyChange, keyState);
  const [session, setSession] = useState<Session | null>(null);
  const isOpen = Boolean(secret && !refusal);
  useEffect(() => {
    if (!isOpen) return;
    const opened = connect(secret);
    setSession(opened);
    return () => {
      setSession(null);
      opened.client.stop();
      void Promise.resolve(opened.socket.dispose()).catch(() => undefined); // of a connection that was just refused
    };
  }, [secret, isOpen]);

  if (!isOpen) return <SignIn refused={refusal && `${hint(secret)} was refused. ${refusal}`} />;
  if (!session) return <p className="notice">Loading…</p>;
  return (
    <ApolloProvider client={session.client}>
      <Console session={session} />
    </ApolloProvider>
  );
}

function SignIn({ refused }: { refused: string }) {
  function submit(event: SubmitEvent<HTMLFormElement>) {
    event.preventDefault();
    setKey(String(new FormData(event.currentTarget).get("secret")).trim());
  }
  return (
    <main className="sign-in">
      <h1>API keys</h1>
      <form className="card stack" onSubmit={submit}>
        {refused && <p role="alert">{refused}</p>}
        {linkNotice && !refused && <p role="alert">{linkNotice}</p>}
        <label>
          Your API key
          <input name="secret" type="password" autoComplete="off" required placeholder="gqlid_…" autoFocus />
        </label>
        <button className="main">Show keys</button>
        <p className="soft">
          The key stays in this browser tab. The first key is in the file <code>admin-key</code> of the data directory. On the
          service’s machine <code>gql-identity create-key</code> makes more.
        </p>
      </form>
    </main>
  );
}

function Console({ session }: { session: Session }) {
  const { data, error, refetch } = useQuery(ViewerDocument);
  const [domain, setDomain] = useState("");
  const viewer = data?.viewer;
  const domainId = domain || viewer?.domainId;
  return (
    <>
      <header className="top">
        <h1>API keys</h1>
        {viewer && (
          <p className="who">
            <b>{viewer.userId}</b> of <b>{viewer.domainId}</b>, {ROLES[viewer.role].toLowerCase()}
            {viewer.apiKeyInfo && <span className="soft"> with {title(viewer.apiKeyInfo)}</span>}
          </p>
        )}
        <a href="graphql">GraphiQL</a>
        <button onClick={() => setKey("")}>Forget the key</button>
      </header>
      <main>
        {error && !viewer && <Failure text={reason(error)} again={() => void refetch().catch(() => undefined)} />}
        {!error && !viewer && <p className="notice">Loading…</p>}
        {viewer?.role === "SYSTEM" && <Domain domainId={domainId ?? ""} choose={setDomain} />}
        {viewer && domainId && <Keys key={domainId} domainId={domainId} viewer={viewer} session={session} />}
      </main>
    </>
  );
}

/** SYSTEM sees the keys of any domain. */
function Domain({ domainId, choose }: { domainId: string; choose: (domainId: string) => void }) {
  function submit(event: SubmitEvent<HTMLFormElement>) {
    event.preventDefault();
    choose(String(new FormData(event.currentTarget).get("domain")).trim());
  }
  return (
    <form className="domain" onSubmit={submit}>
      <label>
        Domain
        <input name="domain" key={domainId} defaultValue={domainId} maxLength={255} required />
      </label>
      <button>Show domain</button>
    </form>
  );
}

createRoot(document.getElementById("page")!).render(
  <StrictMode>
    <Page />
  </StrictMode>,
);
