import type { IntrospectionQuery } from "graphql";

// Names that federation adds to a subgraph for its router: `_entities`, `_Any`, `link__Import`.
const FEDERATION = /^(_(?!_)|link__|federation__)/;

// In which documents use directives; @key and others are for the schema.
const EXECUTABLE = ["QUERY", "MUTATION", "SUBSCRIPTION", "FIELD", "VARIABLE_DEFINITION"].concat(
  ["FRAGMENT_DEFINITION", "FRAGMENT_SPREAD", "INLINE_FRAGMENT"],
);

// Returns the schema that documentation and hints are made of. The gateway executes whatever it has beyond that.
export function withoutFederation({ __schema }: IntrospectionQuery): IntrospectionQuery {
  const isShown = ({ name }: { name: string }) => !FEDERATION.test(name);
  const types = __schema.types
    .filter(isShown)
    .map((type) => ("fields" in type && type.fields ? { ...type, fields: type.fields.filter(isShown) } : type));
  const directives = __schema.directives.filter((directive) =>
    directive.locations.some((location) => EXECUTABLE.includes(location)),
  );
  return { __schema: { ...__schema, types, directives } };
}

// Returns whether a message of validation is about what the schema above has not, but the gateway has.
export function isAboutFederation(message: string): boolean {
  return /(field|type) "_(entities|service|Any|Entity|Service)"/.test(message);
}
