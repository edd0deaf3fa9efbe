"""Stage 3, where does it come from? PageRequest -> Page.

reader       what one request reads, within its budgets and its time
answers      the upstream's answers, from the cache or asked once in a flight
cache        where they are kept: memory, or sealed in a Redis that a breaker guards
aws          the calls themselves, signed as the caller; aws_errors: what may go wrong
aws_sts      sessions for OIDC tokens
rows         an answer's objects, held against the service model in model
page         the values that pass between here and the graph
"""
