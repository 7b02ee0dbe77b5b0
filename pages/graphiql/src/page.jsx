import "graphiql/setup-workers/vite"; // first: Monaco's workers, as files of this origin
import { explorerPlugin } from "@graphiql/plugin-explorer";
import { pick, useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { GraphiQL, HISTORY_PLUGIN } from "graphiql";
import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import { createRoot } from "react-dom/client";

import "graphiql/style.css";
import "@graphiql/plugin-explorer/style.css";
import "./page.css";

import examples from "./examples.graphql?raw";
import { createFetcher } from "./fetcher.js";
import { hint, keyState, linkNotice, onKeyChange, tabStorage, setKey } from "../../shared/key.js";

const root = document.getElementById("page");
/** GraphiQL's active tab; `FollowTabs` keeps it up to date. */
const tab = { id: () => "", editors: () => "", show: () => undefined };
const fetcher = createFetcher(root.dataset.endpoint || location.pathname, tab);
const plugins = [HISTORY_PLUGIN, explorerPlugin({ showAttribution: false })];
const tabs = examples.split(/^# ---\n/m).map((query) => ({ query: query.trim() + "\n" }));

function Page() {
  return (
    <GraphiQL
      fetcher={fetcher}
      plugins={plugins}
      defaultTabs={tabs}
      defaultQuery=""
      defaultEditorToolsVisibility={false}
      storage={tabStorage}
      shouldPersistHeaders={false} // they may hold a credential
    >
      <GraphiQL.Logo>
        <span className="service">gql_identity</span>
      </GraphiQL.Logo>
      <GraphiQL.Footer>
        <Key />
      </GraphiQL.Footer>
      <FollowKey />
      <FollowScheme />
      <WrapLines />
      <FollowTabs />
    </GraphiQL>
  );
}

/** The key in use, or a form for one. */
function Key() {
  const { secret, refusal } = useSyncExternalStore(onKeyChange, keyState);
  const [isChanging, setChanging] = useState(false);
  if (!secret || isChanging) return <KeyForm secret={secret} onDone={() => setChanging(false)} />;
  return (
    <div className="key">
      <p role="status">
        {refusal ? (
          <>
            <strong>The service refuses {hint(secret)}.</strong> {refusal}
          </>
        ) : (
          <>Requests carry {hint(secret)}, stored only in this browser tab.</>
        )}
      </p>
      <button type="button" onClick={() => setChanging(true)}>
        Change key
      </button>
      <button type="button" onClick={() => setKey("")}>
        Forget key
      </button>
    </div>
  );
}

function KeyForm({ secret, onDone }) {
  const [text, setText] = useState("");
  const onSubmit = (event) => {
    event.preventDefault();
    setKey(text.trim().replace(/^bearer\s+/i, ""));
    onDone();
  };
  return (
    <form className="key" onSubmit={onSubmit}>
      {!secret && (
        <p role="status">
          <strong>No API key yet.</strong> {linkNotice} The first key is in the file <code>admin-key</code> of the data directory. On
          the service’s machine <code>gql-identity create-key</code> makes more (in a clone <code>.venv/bin/gql-identity</code>).
        </p>
      )}
      <label>
        API key{" "}
        <input
          type="password"
          autoComplete="off"
          required
          autoFocus={Boolean(secret)}
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
      </label>
      <button type="submit">Use key</button>
      {secret && (
        <button type="button" onClick={onDone}>
          Cancel
        </button>
      )}
    </form>
  );
}

/** When another key comes into use and there is no schema yet, read it. */
function FollowKey() {
  const { secret } = useSyncExternalStore(onKeyChange, keyState);
  const { schema } = useGraphiQL(pick("schema"));
  const { introspect } = useGraphiQLActions();
  const before = useRef(secret);

  useEffect(() => {
    if (secret === before.current) return;
    before.current = secret;
    if (secret && !schema) introspect();
  }, [introspect, schema, secret]);

  return null;
}

/** When the system changes between light and dark, the editors follow it too: GraphiQL asks only when it starts. */
function FollowScheme() {
  const { theme } = useGraphiQL(pick("theme"));
  const { setTheme } = useGraphiQLActions();

  useEffect(() => {
    if (theme) return undefined; // chosen in the settings
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const follow = () => setTheme(null);
    dark.addEventListener("change", follow);
    return () => dark.removeEventListener("change", follow);
  }, [theme, setTheme]);

  return null;
}

/** Long lines of an operation go on below, as those of a response do: beside the documentation there is little room. */
function WrapLines() {
  const { queryEditor } = useGraphiQL(pick("queryEditor"));
  useEffect(() => queryEditor?.updateOptions({ wordWrap: "on", wrappingIndent: "indent" }), [queryEditor]);
  return null;
}

/**
 * When a tab becomes active again, show what arrived for it meanwhile. A subscription that still runs is attached to by
 * "run", only if the tab's editors are as they were when it began: nothing is sent that nobody asked for.
 */
function FollowTabs() {
  const { tabs, activeTabIndex, documentAST, queryEditor, variableEditor, headerEditor, responseEditor } = useGraphiQL(
    pick("tabs", "activeTabIndex", "documentAST", "queryEditor", "variableEditor", "headerEditor", "responseEditor"),
  );
  const { run, stop, updateActiveTabValues } = useGraphiQLActions();
  const id = tabs[activeTabIndex]?.id;
  tab.id = () => id;
  tab.editors = () => JSON.stringify([queryEditor, variableEditor, headerEditor].map((editor) => editor?.getValue().trim()));
  tab.show = (answer) => {
    const response = JSON.stringify(answer, null, 2);
    responseEditor?.setValue(response);
    updateActiveTabValues({ response });
  };

  useEffect(() => fetcher.keepOnly(tabs.map((tab) => tab.id)), [tabs]);

  const returned = useRef(id);
  useEffect(() => {
    if (id !== returned.current) {
      stop(); // GraphiQL does so for a change of the tab, but not for a new one
      fetcher.answers.showLate();
      returned.current = fetcher.subscriptions.isActive() ? null : id;
    }
    if (returned.current !== null) return undefined;
    // GraphiQL reads the tab's text and its operation's name a little after the change.
    const timer = setTimeout(() => {
      returned.current = id;
      if (fetcher.subscriptions.isAsItBegan()) fetcher.attachAgain(run);
    }, 400);
    return () => clearTimeout(timer);
  }, [id, documentAST, run]);

  return null;
}

createRoot(root).render(<Page />);
