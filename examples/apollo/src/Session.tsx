import { ApolloProvider } from "@apollo/client/react";
import { type Caller, requestHeaders } from "example-common";
import { useState } from "react";
import { createClient } from "./client";
import { JobsPage } from "./JobsPage";

interface Props {
  readonly caller: Caller;
  readonly onUnauthenticated: () => void;
}

/** Everything that belongs to one caller. Their rows leave memory with it. */
export function Session({ caller, onUnauthenticated }: Props) {
  const [client] = useState(() =>
    createClient(requestHeaders(caller.credentials), onUnauthenticated),
  );
  return (
    <ApolloProvider client={client}>
      <JobsPage />
    </ApolloProvider>
  );
}
