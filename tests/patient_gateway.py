"""A double of `gateway` that waits for its Redis for as long as a slow machine needs.

The gateway itself waits for a tenth of a second, and then does without: what a test counts would
depend on the speed of the machine.
"""

from gateway.cli import main
from gateway.upstream.cache import redis
from gateway.upstream.resilience import rate_limit

SECONDS = 60.0

redis.CONNECT_SECONDS = redis.GET_SECONDS = redis.SET_SECONDS = SECONDS
rate_limit.REDIS_SECONDS = SECONDS

if __name__ == "__main__":
    main()
