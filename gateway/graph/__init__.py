"""The GraphQL schema and its execution.

`execution.engine` runs a request against the schema that `schema` builds from `query` and `types`.
"""
