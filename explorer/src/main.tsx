import "graphiql/setup-workers/vite";
import "graphiql/style.css";
import "@graphiql/plugin-explorer/style.css";
import "./page.css";

import { explorerPlugin } from "@graphiql/plugin-explorer";
import { createLocalStorage } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";

import { createFetcher } from "./fetcher";
import { readPage } from "./page";

const page = readPage();
const fetcher = createFetcher(page.endpoint);

// GraphiQL adds its documentation plugin itself; History is left out because it stores typed headers.
const plugins = [explorerPlugin()];

// A namespace of its own, because other GraphiQLs may have used the same localhost port.
const storage = createLocalStorage({ namespace: "audience-gateway" });

createRoot(document.getElementById("explorer")!).render(
  <GraphiQL
    fetcher={fetcher}
    plugins={plugins}
    storage={storage}
    defaultQuery={page.query}
    defaultHeaders={page.headers} // for new tabs, and for stored tabs, which have no headers
    initialHeaders={page.headers} // on load
    shouldPersistHeaders={false}
    isHeadersEditorEnabled
  >
    <GraphiQL.Logo>Audience Gateway</GraphiQL.Logo>
  </GraphiQL>,
);
