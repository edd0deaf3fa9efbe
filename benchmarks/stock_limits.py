"""Strawberry's own limiters, in a process of its own that may block.

    python -m benchmarks.stock_limits

For each line `LIMITER DEPTH`, `depth` or `aliases` and a number of doubling
fragments, it validates such a document and prints the seconds that took.
"""

import sys
import time

import strawberry
from strawberry.extensions import MaxAliasesLimiter, QueryDepthLimiter

from benchmarks.queries import doubling_fragments


@strawberry.type
class Query:
    @strawberry.field
    def name(self) -> str:
        return "name"


SCHEMAS = {
    "depth": strawberry.Schema(Query, extensions=[lambda: QueryDepthLimiter(max_depth=12)]),
    "aliases": strawberry.Schema(Query, extensions=[lambda: MaxAliasesLimiter(20)]),
}


def main() -> None:
    """Process the lines of standard input."""
    for line in sys.stdin:
        limiter, depth = line.split()
        document = doubling_fragments(int(depth), "Query", "name")
        started = time.perf_counter()
        SCHEMAS[limiter].execute_sync(document)
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
