"""The GraphQL part: from a request to the pages and objects it needs, and back to a result.

`execution.engine` runs a request against the schema that `schema` builds from `query` and `types`.
"""
