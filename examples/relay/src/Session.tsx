import { type Caller, requestHeaders } from "example-common";
import { useState } from "react";
import { RelayEnvironmentProvider } from "react-relay";
import { createEnvironment } from "./environment";
import { JobsPage } from "./JobsPage";

interface Props {
  readonly caller: Caller;
  readonly onUnauthenticated: () => void;
}

/** Everything that belongs to one caller. Their rows leave memory with it. */
export function Session({ caller, onUnauthenticated }: Props) {
  const [environment] = useState(() =>
    createEnvironment(requestHeaders(caller.credentials), ({ code }) => {
      if (code === "UNAUTHENTICATED") onUnauthenticated();
    }),
  );
  return (
    <RelayEnvironmentProvider environment={environment}>
      <JobsPage />
    </RelayEnvironmentProvider>
  );
}
