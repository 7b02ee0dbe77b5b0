// The console: asks for a key, then shows the keys that it may see.
import "./page.css"; // first: the styles of the parts come after those of the page

import { ApolloProvider, useQuery } from "@apollo/client/react";
import { StrictMode, useEffect, useRef, useState, useSyncExternalStore, type SubmitEvent } from "react";
import { createRoot } from "react-dom/client";

import { hint, keyState, linkNotice, onKeyChange, setKey } from "../../shared/key.js";
import { connect, reason, type Session } from "./client.ts";
import { Failure } from "./failure.tsx";
import { NO_FILTERS } from "./filters.tsx";
import { Keys } from "./keys.tsx";
import { ViewerDocument, type ViewerQuery } from "./operations.generated.ts";
import { Dialog } from "./question.tsx";
import { HeldSecrets } from "./secret.tsx";
import { ROLES, title } from "./text.ts";
import { show, showNothing, useView } from "./view.ts";

function Page({ isSecretShown }: { isSecretShown: boolean }) {
  const { secret, refusal } = useSyncExternalStore(onKeyChange, keyState);
  const [session, setSession] = useState<Session | null>(null);
  const [isSignedIn, setIsSignedIn] = useState(false); // the service accepted a key, and it was not forgotten
  const isOpen = Boolean(secret && !refusal);
  useEffect(() => {
    if (!secret) {
      setIsSignedIn(false);
      setSession(null);
      return;
    }
    const opened = connect(secret);
    setSession(opened);
    return () => {
      opened.client.stop();
      void Promise.resolve(opened.socket.dispose()).catch(() => undefined); // of a connection that was just refused
    };
  }, [secret]);

  const refused = refusal && `${hint(secret)} was refused. ${refusal}`;
  if (!secret || (!isOpen && !isSignedIn))
    return (
      <main className="sign-in">
        <h1>API keys</h1>
        <div className="card">
          <SignIn refused={refused} />
        </div>
      </main>
    );
  if (!session) return <p className="notice">Loading…</p>;
  // A key that is refused meanwhile takes nothing away: not what was typed, and not a secret that is shown only once.
  return (
    <ApolloProvider client={session.client}>
      <Console session={session} onSignedIn={setIsSignedIn} />
      {!isOpen && !isSecretShown && (
        <Dialog title="Sign in again" stays onClose={() => undefined}>
          <SignIn refused={refused} />
          <div className="buttons">
            <button onClick={forget}>Forget the key</button>
          </div>
        </Dialog>
      )}
    </ApolloProvider>
  );
}

function forget() {
  showNothing();
  setKey("");
}

function SignIn({ refused }: { refused: string }) {
  function submit(event: SubmitEvent<HTMLFormElement>) {
    event.preventDefault();
    setKey(String(new FormData(event.currentTarget).get("secret")).trim());
  }
  return (
    <form className="stack" onSubmit={submit}>
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
  );
}

function Console({ session, onSignedIn }: { session: Session; onSignedIn: (is: boolean) => void }) {
  const { data, error, refetch } = useQuery(ViewerDocument);
  const { domain } = useView();
  const before = useRef<ViewerQuery["viewer"]>(null);
  const viewer = data?.viewer ?? before.current; // the one before, until the next key's is known
  const domainId = (viewer?.role === "SYSTEM" && domain) || viewer?.domainId;
  useEffect(() => {
    before.current = viewer;
    if (viewer) onSignedIn(true);
  }, [viewer]);
  return (
    <>
      <header className="top">
        <h1>API keys</h1>
        {viewer && !error && (
          <p className="who">
            <b>
              <bdi>{viewer.userId}</bdi>
            </b>{" "}
            of{" "}
            <b>
              <bdi>{viewer.domainId}</bdi>
            </b>
            , {ROLES[viewer.role].toLowerCase()}
            {viewer.apiKeyInfo && (
              <span className="soft">
                {" "}
                with <bdi>{title(viewer.apiKeyInfo)}</bdi>
              </span>
            )}
          </p>
        )}
        <a href="graphql">GraphiQL</a>
        <button onClick={forget}>Forget the key</button>
      </header>
      <main>
        {error && <Failure text={reason(error)} again={() => void refetch().catch(() => undefined)} />}
        {!error && !viewer && <p className="notice">Loading…</p>}
        {viewer?.role === "SYSTEM" && <Domain domainId={domainId ?? ""} own={viewer.domainId} />}
        {viewer && domainId && <Keys key={domainId} domainId={domainId} viewer={viewer} session={session} />}
      </main>
    </>
  );
}

/** SYSTEM sees the keys of any domain. */
function Domain({ domainId, own }: { domainId: string; own: string }) {
  function submit(event: SubmitEvent<HTMLFormElement>) {
    event.preventDefault();
    const domain = String(new FormData(event.currentTarget).get("domain")).trim();
    show({ ...NO_FILTERS, open: "", domain: domain === own ? "" : domain });
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
    <HeldSecrets>{(isShown) => <Page isSecretShown={isShown} />}</HeldSecrets>
  </StrictMode>,
);
