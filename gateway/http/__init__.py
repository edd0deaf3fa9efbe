"""Stage 1, who is asking? HTTP request -> Caller.

protocol     the connection: deadlines, caps on bytes and numbers
raw_refusal, open_files    its answers by itself, and how many clients there may be
access       around each request: its id, its log line, its last-resort answer
cors         pages of other origins
admission    how many requests at once
endpoint     /graphql: an HTTP request to an HTTP answer
accept       which media type the answer has
identity     the one door: who asks, by which scheme
aws_headers  the scheme of the caller's own AWS keys
tokens, jwks, sessions, oidc_file    the scheme of OIDC tokens
router       the router of a federated graph
body, parameters, problem    the GraphQL request, or why there is none
disconnect   ends the work for a client who leaves
graphiql     the explorer
health       /livez and /readyz
"""
