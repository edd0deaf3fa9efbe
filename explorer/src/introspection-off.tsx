import { DocsIcon, type GraphiQLPlugin } from "@graphiql/react";

export const OFF = "Introspection is off: no docs and no hints. Queries run all the same.";

// Instead of the documentation, which GraphiQL makes of the schema.
export const introspectionOff: GraphiQLPlugin = {
  title: "Documentation Explorer",
  icon: DocsIcon,
  content: () => (
    <section className="introspection-off" aria-label="Documentation Explorer">
      <h2>Introspection is off</h2>
      <p>
        This gateway does not show its schema, so this page has no documentation, no hints while you type and no check
        before a query runs. Queries run all the same, and the gateway says what is wrong with them.
      </p>
      <p>The schema is described elsewhere:</p>
      <ul>
        <li>
          <code>gateway schema --client</code> prints it, with all descriptions.
        </li>
        <li>
          <code>schema.graphql</code> in the repository is the same for federation.
        </li>
      </ul>
      <p>
        To turn introspection on, set <code>GATEWAY_INTROSPECTION=true</code> and start the gateway again.
      </p>
    </section>
  ),
};
