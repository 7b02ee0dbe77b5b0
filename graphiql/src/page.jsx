import "graphiql/setup-workers/vite"; // first: Monaco's workers, as files of this origin
import { explorerPlugin } from "@graphiql/plugin-explorer";
import { pick, useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { GraphiQL, HISTORY_PLUGIN } from "graphiql";
import { useCallback, useEffect, useRef, useState } from "react";
import { createRoot } from "react-dom/client";

import "graphiql/style.css";
import "@graphiql/plugin-explorer/style.css";
import "./page.css";

import examples from "./examples.graphql?raw";
import { createFetcher } from "./fetcher.js";
import { hint, isWholeKey, keepHeaders, keptHeaders, keyIn, linkNotice, tabStorage } from "./key.js";

const root = document.getElementById("page");
const fetcher = createFetcher(root.dataset.endpoint || location.pathname);
const plugins = [HISTORY_PLUGIN, explorerPlugin({ showAttribution: false })];
const headersAtStart = keptHeaders();
const keyAtStart = keyIn(headersAtStart);

function Page() {
  const [secret, setSecret] = useState(keyAtStart);
  const onEditHeaders = useCallback((headers) => {
    keepHeaders(headers);
    setSecret(keyIn(headers));
  }, []);
  return (
    <GraphiQL
      fetcher={fetcher}
      plugins={plugins}
      defaultQuery={examples}
      defaultHeaders={headersAtStart}
      // Hide the headers if they have a key already; show them if a key must be entered.
      defaultEditorToolsVisibility={keyAtStart ? false : "headers"}
      storage={tabStorage}
      shouldPersistHeaders={false} // key.js stores them: GraphiQL would add a tab at each reload
      onEditHeaders={onEditHeaders}
    >
      <GraphiQL.Logo>
        <span className="service">gql_identity</span>
      </GraphiQL.Logo>
      <GraphiQL.Footer>
        <KeyInUse secret={secret} />
      </GraphiQL.Footer>
      <FollowKey secret={secret} />
    </GraphiQL>
  );
}

function KeyInUse({ secret }) {
  if (secret) return <p role="status">Requests carry {hint(secret)}, stored only in this browser tab.</p>;
  return (
    <p role="status">
      <strong>No API key yet.</strong> {linkNotice} Paste one after <code>Bearer</code> in <b>Headers</b>, below the operations. The
      first key is in the file <code>admin-key</code> of the data directory. On the service’s machine{" "}
      <code>gql-identity create-key</code> makes more (in a clone <code>.venv/bin/gql-identity</code>).
    </p>
  );
}

/** When the key changes, reads the schema and copies the key to new tabs, which GraphiQL does not. */
function FollowKey({ secret }) {
  const { headerEditor, schema, tabs } = useGraphiQL(pick("headerEditor", "schema", "tabs"));
  const { introspect } = useGraphiQLActions();
  const lastHeaders = useRef(headersAtStart);
  const tabsBefore = useRef(tabs.length);
  const keyBefore = useRef(secret);

  useEffect(() => {
    const opened = tabs.length > tabsBefore.current;
    tabsBefore.current = tabs.length;
    if (opened && headerEditor && !keyIn(headerEditor.getValue())) headerEditor.setValue(lastHeaders.current);
  }, [headerEditor, tabs.length]);

  useEffect(() => {
    if (secret === keyBefore.current) return;
    keyBefore.current = secret;
    if (secret && headerEditor) lastHeaders.current = headerEditor.getValue();
    if (!schema && isWholeKey(secret)) introspect();
  }, [headerEditor, introspect, schema, secret]);

  return null;
}

createRoot(root).render(<Page />);
