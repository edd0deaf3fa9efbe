"""What a failure of Redis means: in our words, for its own may hold more than is to be shown."""

from redis import exceptions as redis

from gateway.doctor.obstacle import Obstacle, obstacle
from gateway.upstream.cache.redis_client import CONNECT_SECONDS

SECONDS = 3.0
"""What each step may take; the gateway itself waits LIMIT_MS."""

LIMIT_MS = round(CONNECT_SECONDS * 1000)

_PASSWORD = Obstacle(
    "it refuses the user or the password.",
    "Check what is before the @ in GATEWAY_CACHE_URL: user:password@, percent-encoded.",
)
_SPEECH = Obstacle(
    "what answers there does not speak as Redis does.", "Check host and port of GATEWAY_CACHE_URL."
)

RIGHTS = (
    "~audience-gateway:* +ping +select +get +set +del +evalsha +script +exists +incrby +pttl "
    "+rename +info"
)
"""What the user needs, scripts and this check included."""

_RIGHT = Obstacle(
    "its ACL forbids the user a command that this needs, or our keys.", f"Allow {RIGHTS}."
)
_REPLICA = Obstacle("it is a replica that only reads.", "Name the primary in GATEWAY_CACHE_URL.")
_FULL = Obstacle("it is full.", "Give it more memory, and allkeys-lru as maxmemory-policy.")

KNOWN: tuple[tuple[type[Exception], Obstacle], ...] = (
    # Most specific first.
    (redis.AuthenticationError, _PASSWORD),
    (redis.AuthenticationWrongNumberOfArgsError, _PASSWORD),
    (redis.NoPermissionError, _RIGHT),
    (redis.ReadOnlyError, _REPLICA),
    (redis.OutOfMemoryError, _FULL),
    (
        redis.BusyLoadingError,
        Obstacle("it is still loading its data.", "Try again when it has started."),
    ),
    (
        redis.TimeoutError,
        Obstacle(
            f"no connection within {LIMIT_MS} ms, the most that the gateway waits.",
            "See whether a firewall or a security group is in the way, or use one that is nearer.",
        ),
    ),
    (
        TimeoutError,
        Obstacle(
            f"it takes connections, and does not answer within {SECONDS:.0f} s.",
            "See whether it hangs, or whether something else listens there.",
        ),
    ),
)


IN_SCRIPTS = {"executing the script": _RIGHT, "READONLY": _REPLICA, "OOM": _FULL}
"""What is in the refusal of a script whose command was refused."""


def in_words(error: Exception) -> Obstacle:
    """Say why a Redis does not do what it was asked, and what to do."""
    for kind, found in KNOWN:
        if isinstance(error, kind):
            return found
    if isinstance(error, redis.ResponseError):
        return _refusal(str(error))
    way = obstacle(error)
    if way is not None:
        return Obstacle(f"{way.why}.", way.remedy)
    if isinstance(error, redis.ConnectionError):
        return Obstacle(
            "it closes the connection.", "See whether the port wants TLS: rediss://, not redis://."
        )
    return _SPEECH


def _refusal(said: str) -> Obstacle:
    """Read a refusal; of its text no more than the first word is shown."""
    for words, found in IN_SCRIPTS.items():
        if words in said:
            return found
    word = said.partition(" ")[0]
    kind = f" ({word})" if word.isalpha() and word.isupper() else ""
    return Obstacle(
        f"it refuses a command{kind}.",
        "See its own log, and the number of the database in GATEWAY_CACHE_URL.",
    )
