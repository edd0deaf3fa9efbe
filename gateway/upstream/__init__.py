"""Stage 3, where does it come from? PageRequest -> Page.

reader       what one request reads, within its budgets and its time
answers      the upstream's answers, from the cache or asked once: memory and flight
aws          the calls themselves, signed as the caller; aws_errors: what may go wrong
rows         an answer's objects, held against the service model in model
page         the values that pass between here and the graph
"""
