"""Whole responses, kept in memory and sent again to the same request of the same caller.

Two digests identify a request: one of its head, which is the method and all headers that the
endpoint can read, credentials included; and one of this and the content. What depends on the head
alone, such as the caller, is known before the content is read.
"""

import marshal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from hashlib import sha256

from starlette.responses import Response

from gateway.auth.credentials import Caller
from gateway.http.middleware import FROM_CACHE, RequestLog
from gateway.http.requests import RequestHeaders, has_no_cache
from gateway.telemetry.metrics import CACHE_LOOKUPS, count
from gateway.upstream.cache.lru import LruStore
from gateway.upstream.cache.memory import Version
from gateway.upstream.resilience.callers import ExpiringStore
from gateway.upstream.values import RequestCost

CACHED_METHODS = frozenset({"GET", "POST"})

ANSWER_OVERHEAD = 2000
"""Bytes that an answer takes at most beside its body and its versions: mostly the headers."""

VERSION_BYTES = 80

MAX_KNOWN_HEADS = 20_000
"""Some 500 bytes each."""

KNOWN_SECONDS = 60.0

MARSHAL_FORMAT = 2
"""The last one that writes a value in full each time it occurs, rather than a reference."""

LOOKUPS = CACHE_LOOKUPS.labels("answer")


@dataclass(frozen=True, slots=True)
class KnownHead:
    """What follows from the head of a request whose answer was kept, without secrets.

    The head passed all checks, and its request may be answered with what is kept.
    """

    limit_key: bytes
    """Of the caller, as the other attributes."""
    verified: bool
    digest: str
    expires_at: float | None
    media_type: str
    """The one that it accepts."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A response, and what the log says of it. It holds nothing of the request."""

    response: Response
    document: str | None
    operation: str | None
    document_id: str | None
    persisted: str | None
    versions: Collection[Version]
    """Of all results that it was made of."""

    @property
    def weight(self) -> int:
        return len(self.response.body) + ANSWER_OVERHEAD + VERSION_BYTES * len(self.versions)

    def on_drop(self) -> None:
        pass

    def replay(self, log: RequestLog) -> Response:
        """Return the response, and log what executing the request again would have cost."""
        count(LOOKUPS)
        log.answer = FROM_CACHE
        log.document, log.operation = self.document, self.operation
        log.document_id, log.persisted = self.document_id, self.persisted
        log.cost = RequestCost(cache_hits=len(self.versions))
        return self.response


class AnswerCache:
    """The answers of one process, in the store of its pages.

    An answer lives no longer than its caller's credentials and the results that it was made of:
    it ends when one of them expires, or is replaced or evicted in the cache.
    """

    def __init__(self, store: LruStore, *, clock: Callable[[], float] = time.time) -> None:
        """`clock` is the wall clock, by which results and credentials expire."""
        self.store = store
        self.clock = clock
        self.heads = _new_heads()
        self._generation = 0

    def forget(self) -> None:
        """Serve no earlier answer again: the configuration that allowed it has changed."""
        self.heads = _new_heads()
        self._generation += 1

    def lookup(self, method: str, headers: RequestHeaders) -> "AnswerLookup | None":
        """Begin to look for the answer to a request; None if it goes past the cache."""
        if method not in CACHED_METHODS:
            return None
        # In this format, lengths tell where each part ends, and equal values have equal bytes.
        head = (self._generation, method.encode(), headers.items)
        parts = marshal.dumps(head, MARSHAL_FORMAT)
        lookup = AnswerLookup(self, sha256(parts).digest())
        if not lookup.known and has_no_cache(headers.values(b"cache-control")):
            return None
        return lookup


class AnswerLookup:
    """Finds or keeps the answer to one request."""

    __slots__ = ("_cache", "_head", "_heads", "_key", "known")

    def __init__(self, cache: AnswerCache, head: bytes) -> None:
        self._cache = cache
        self._head = head
        self._heads = cache.heads
        self._key = b""
        self.known: KnownHead | None = None
        """The head, if an answer to a request with it was kept recently, and the credentials have
        not expired."""
        known = self._heads.get(head)
        if known and (known.expires_at is None or cache.clock() < known.expires_at):
            self.known = known

    def find(self, content: bytes) -> Answer | None:
        """Return the answer to the request with this content, which was read completely."""
        self._key = sha256(self._head + content).digest()
        if self.known is None:
            return None
        answer: Answer | None = self._cache.store.find(self._key, self.known.limit_key)
        if answer is None or not all(version.current for version in answer.versions):
            return None
        # Otherwise a caller with many requests could make others unknown.
        self._heads.set(self._head, self.known)
        return answer

    def keep(
        self,
        caller: Caller,
        media_type: str,
        versions: Collection[Version],
        response: Response,
        log: RequestLog,
    ) -> None:
        """Keep a complete response that was made of these results, unless one has changed."""
        if not versions or not all(version.current for version in versions):
            return
        if self._heads is not self._cache.heads:  # it was made before `forget`
            return
        now = self._cache.clock()
        seconds = min(version.expires_at for version in versions) - now
        if caller.expires_at is not None:
            seconds = min(seconds, caller.expires_at - now)
        # Without the unused part of the buffer in which orjson wrote it.
        response.body = bytes(memoryview(response.body))
        answer = Answer(
            response,
            log.document,
            log.operation,
            log.document_id,
            log.persisted,
            tuple(versions),
        )
        if self._cache.store.keep(self._key, caller.limit_key, answer, seconds):
            known = KnownHead(
                caller.limit_key, caller.verified, caller.digest, caller.expires_at, media_type
            )
            self._heads.set(self._head, known)


def _new_heads() -> ExpiringStore[bytes, KnownHead]:
    return ExpiringStore(MAX_KNOWN_HEADS, KNOWN_SECONDS)
