// The page: asks for an API key, then shows the keys of its domain. The API key stays in this page's memory.

import { ApolloProvider, useQuery } from "@apollo/client/react";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { connect, reason } from "./client.js";
import { Keys } from "./keys.jsx";
import { VIEWER } from "./operations.js";
import "./page.css";

function Page() {
  const [session, setSession] = useState(null);

  function signIn(form) {
    setSession(connect(form.get("secret").trim()));
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
          <KeysOfViewer socket={session.socket} />
        </ApolloProvider>
      ) : (
        <form className="card" action={signIn}>
          <label>
            Your API key
            <input name="secret" type="password" autoComplete="off" required placeholder="gqlid_..." />
          </label>
          <button className="main">Show keys</button>
        </form>
      )}
    </main>
  );
}

function KeysOfViewer({ socket }) {
  const { data, error } = useQuery(VIEWER);
  if (error) return <p role="alert">{reason(error)}</p>;
  if (!data) return <p>Loading …</p>;
  return <Keys domainId={data.viewer.domainId} socket={socket} />;
}

createRoot(document.getElementById("page")).render(
  <StrictMode>
    <Page />
  </StrictMode>,
);
