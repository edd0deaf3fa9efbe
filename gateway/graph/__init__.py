"""Stage 2, what may be asked? Query -> PageRequest.

engine       a GraphQL request to its result: documents, execution, errors in words
schema       the schema; query is its root, job, details, enums and scalars its types
connection   Relay's connection over an upstream list; paging, walk and cursor are its arithmetic
node         global ids
context      what the resolvers of one request share
"""
