import "graphiql/setup-workers/vite";
import "graphiql/style.css";
import "@graphiql/plugin-explorer/style.css";
import "./page.css";

import { explorerPlugin } from "@graphiql/plugin-explorer";
import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { createLocalStorage } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { useEffect } from "react";
import { createRoot } from "react-dom/client";

import { createFetcher } from "./fetcher";
import { readPage } from "./page";

const page = readPage();
const fetcher = createFetcher(page.endpoint);

// GraphiQL adds its documentation plugin itself; History is left out because it stores typed headers.
const plugins = [explorerPlugin()];

// A namespace of its own, because other GraphiQLs may have used the same localhost port.
const storage = createLocalStorage({ namespace: "audience-gateway" });

// GraphiQL stops a subscription when the user changes to another tab, but not when they open a new one, which would
// show the results of the old.
function StopWithTab() {
  const { stop } = useGraphiQLActions();
  const tab = useGraphiQL(({ tabs, activeTabIndex }) => tabs[activeTabIndex].id);
  useEffect(() => stop, [tab]);
  return null;
}

createRoot(document.getElementById("explorer")!).render(
  <GraphiQL
    fetcher={fetcher}
    plugins={plugins}
    storage={storage}
    defaultTabs={page.examples.map((query) => ({ query, headers: page.headers }))} // on the first visit
    defaultHeaders={page.headers} // for new tabs, and for stored tabs, which have no headers
    initialHeaders={page.headers} // on load
    shouldPersistHeaders={false}
    isHeadersEditorEnabled
  >
    <GraphiQL.Logo>
      Audience Gateway
      <StopWithTab />
    </GraphiQL.Logo>
  </GraphiQL>,
);
