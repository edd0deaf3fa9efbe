import { App } from "example-common";
import "example-common/styles.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Session } from "./Session";

const root = document.getElementById("app");
if (!root) throw new Error("index.html has no element with the id app");

createRoot(root).render(
  <StrictMode>
    <App
      title="Audience generation jobs"
      renderSession={(caller, onUnauthenticated) => (
        <Session caller={caller} onUnauthenticated={onUnauthenticated} />
      )}
    />
  </StrictMode>,
);
