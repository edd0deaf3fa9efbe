import "./workers";
import "graphiql/style.css";
import "@graphiql/plugin-explorer/style.css";
import "./page.css";

import { DOC_EXPLORER_PLUGIN } from "@graphiql/plugin-doc-explorer";
import { explorerPlugin } from "@graphiql/plugin-explorer";
import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { createLocalStorage } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

import { Answers } from "./answers";
import { CredentialsSelect } from "./credentials";
import { createFetcher } from "./fetcher";
import { formatHeaders, hasBlanks } from "./headers";
import { introspectionOff, OFF } from "./introspection-off";
import { Notice } from "./notice";
import { readPage } from "./page";
import { CopyLinkButton, OpenLink } from "./share-link";
import { StatusBar } from "./status-bar";

const FILL_IN_FIRST = "# Fill in your credentials under Headers first.";

const page = readPage();
const answers = new Answers();
const fetcher = createFetcher(page.endpoint, answers.report);
const headers = formatHeaders(page.headerSets[0].headers);

// History is left out because it stores typed headers.
const plugins = page.introspection ? [explorerPlugin()] : [];
const referencePlugin = page.introspection ? DOC_EXPLORER_PLUGIN : introspectionOff;

// A namespace of its own, because other GraphiQLs may have used the same localhost port.
const storage = createLocalStorage({ namespace: "audience-gateway" });

// Headers that have to be filled in are shown, even if the user has hidden others before.
const needsHeaders = hasBlanks(page.headerSets[0].headers);
if (needsHeaders) storage.removeItem("graphiql:secondaryEditorFlex");
const examples = page.examples.map(({ query, variables }) => ({
  query: needsHeaders ? `${FILL_IN_FIRST}\n${query}` : query,
  variables: Object.keys(variables).length ? JSON.stringify(variables, null, 2) : null,
  headers,
}));

// GraphiQL stops a subscription when the user changes to another tab, but not when they open a new one, which would
// show the results of the old.
function StopWithTab() {
  const { stop } = useGraphiQLActions();
  const tab = useGraphiQL(({ tabs, activeTabIndex }) => tabs[activeTabIndex].id);
  useEffect(() => stop, [tab]);
  return null;
}

// GraphiQL asks the system for its theme once, and its editors would keep that one.
function FollowSystemTheme() {
  const { setTheme } = useGraphiQLActions();
  const chosen = useGraphiQL(({ theme }) => theme);
  useEffect(() => {
    const system = matchMedia("(prefers-color-scheme: dark)");
    const follow = () => setTheme(chosen);
    system.addEventListener("change", follow);
    return () => system.removeEventListener("change", follow);
  }, [setTheme, chosen]);
  return null;
}

function Explorer() {
  const [message, setMessage] = useState("");
  return (
    <GraphiQL
      fetcher={fetcher}
      schema={page.introspection ? undefined : null}
      plugins={plugins}
      referencePlugin={referencePlugin}
      storage={storage}
      defaultTabs={examples} // on the first visit
      defaultHeaders={headers} // for new tabs, and for stored tabs, which have no headers
      initialHeaders={headers} // on load
      defaultEditorToolsVisibility={needsHeaders ? "headers" : undefined}
      shouldPersistHeaders={false}
      isHeadersEditorEnabled
    >
      <GraphiQL.Logo>
        <CredentialsSelect sets={page.headerSets} />
        <span className="title">Audience Gateway</span>
        <StopWithTab />
        <FollowSystemTheme />
        <OpenLink notify={setMessage} />
        <Notice message={message} onDismiss={() => setMessage("")} />
      </GraphiQL.Logo>
      <GraphiQL.Toolbar>
        {({ prettify, merge, copy }) => (
          <>
            {prettify}
            {merge}
            {copy}
            <CopyLinkButton notify={setMessage} />
          </>
        )}
      </GraphiQL.Toolbar>
      <GraphiQL.Footer>
        <StatusBar answers={answers} hint={page.introspection ? "" : OFF} />
      </GraphiQL.Footer>
    </GraphiQL>
  );
}

createRoot(document.getElementById("explorer")!).render(<Explorer />);
