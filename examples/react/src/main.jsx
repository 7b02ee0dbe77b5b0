// The page: asks for an API key, then shows the keys of a domain. The API key stays in this page's memory.

import { ApolloProvider } from "@apollo/client/react";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { connect } from "./client.js";
import { Keys } from "./keys.jsx";
import "./page.css";

function Page() {
  const [session, setSession] = useState(null);

  function signIn(form) {
    setSession({ ...connect(form.get("secret").trim()), domainId: form.get("domainId").trim() });
  }

  function signOut() {
    session.socket.dispose();
    setSession(null);
  }

  return (
    <main>
      <header>
        <h1>API keys</h1>
        {session && <button onClick={signOut}>Sign out</button>}
      </header>
      {session ? (
        <ApolloProvider client={session.client}>
          <Keys domainId={session.domainId} socket={session.socket} />
        </ApolloProvider>
      ) : (
        <form className="card" action={signIn}>
          <label>
            Your API key
            <input name="secret" type="password" autoComplete="off" required placeholder="gqlid_..." />
          </label>
          <label>
            Domain
            <input name="domainId" required defaultValue="default" />
          </label>
          <button className="main">Show keys</button>
        </form>
      )}
    </main>
  );
}

createRoot(document.getElementById("page")).render(
  <StrictMode>
    <Page />
  </StrictMode>,
);
