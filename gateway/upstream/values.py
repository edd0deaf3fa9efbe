"""The values that pass between the graph and the upstream: requests, results and their cost."""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from sys import getsizeof
from typing import Any, ClassVar, Final, Protocol, TypeAlias, TypeVar

import orjson

from gateway.upstream.model import parse_item, parse_list
from gateway.upstream.projection import Projection

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Item: TypeAlias = Mapping[str, Any]
"""One object, by the upstream's own member names. Readers share it: never modify one."""

PAGE_SIZE = 100
"""The upstream's maximum, so that one cached page serves every `first`."""

FRESH: Final = math.inf
"""The earliest moment at which a result may have been asked for, if no earlier result is used."""

MAX_REQUEST_IDS = 100

MAX_DERIVED = 16
"""What is derived from the rows of a page and kept with it. The least recently used is dropped."""

DERIVED_OVERHEAD = 300
"""Bytes that each of these takes at most beside its key and value."""


class UpstreamRequest(Protocol[T_co]):
    """A read of the upstream whose result is a `T_co`. Hashable."""

    @property
    def operation(self) -> str: ...

    @property
    def region(self) -> str: ...

    @property
    def parameters(self) -> tuple[tuple[str, Any], ...]: ...

    @property
    def is_list(self) -> bool: ...

    def parse(self, response: dict[str, Any]) -> T_co:
        """Check a response; raises UpstreamInvalidResponseError if it contradicts the model."""

    def project(self, result: Any, projection: Projection) -> T_co:
        """Return a result with its objects projected."""

    def to_json(self, result: Any) -> Any:
        """Return a result as a value that JSON has, sharing its parts."""

    def from_json(self, value: Any) -> T_co:
        """Restore a result from what `to_json` returned."""


class Derived:
    """What is computed of the rows of a page, for its later readers: they must not modify it."""

    __slots__ = ("_kept", "on_growth")

    def __init__(self) -> None:
        self.on_growth: Callable[[int], None] | None = None
        self._kept: dict[Hashable, tuple[Any, int]] = {}
        """Key -> value and weight, least recently used first."""

    def get(self, key: Hashable, compute: Callable[[], T], weigh: Callable[[T], int]) -> T:
        found = self._kept.pop(key, None)
        if found is not None:
            self._kept[key] = found
            known: T = found[0]
            return known
        value = compute()
        self._keep(key, value, weigh(value))
        return value

    def mark_used(self, key: Hashable) -> bool:
        """Return whether the key has a value, or was marked before."""
        if key in self._kept:
            return True
        # The hash, because the names in a key may be long. Two keys with the same do no harm.
        marker = hash(key)
        if marker in self._kept:
            self._drop(marker)
            return True
        self._keep(marker, None, 0)
        return False

    def _keep(self, key: Hashable, value: Any, weight: int) -> None:
        weight += _key_size(key) + DERIVED_OVERHEAD
        self._kept[key] = value, weight
        self._report(weight)
        if len(self._kept) > MAX_DERIVED:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Hashable) -> None:
        _, weight = self._kept.pop(key)
        self._report(-weight)

    def _report(self, change: int) -> None:
        if self.on_growth is not None:
            self.on_growth(change)


@dataclass(slots=True)
class Page:
    """One response of a List operation. It may be short or empty and still carry a token."""

    items: list[Item]
    next_token: str | None
    _derived: Derived = field(default_factory=Derived, init=False, repr=False, compare=False)

    @property
    def on_growth(self) -> Callable[[int], None] | None:
        """Called with each change of the bytes that are kept of what is derived from the rows.

        None unless the page is in a cache that counts them.
        """
        return self._derived.on_growth

    @on_growth.setter
    def on_growth(self, report: Callable[[int], None] | None) -> None:
        self._derived.on_growth = report

    def derive(self, key: Hashable, compute: Callable[[], T], weigh: Callable[[T], int]) -> T:
        """Return what `compute` returns, which depends on the rows and the key only.

        It is kept with the page, and must not be modified. `weigh` returns its size in bytes.
        """
        return self._derived.get(key, compute, weigh)

    def derive_if_reread(
        self, key: Hashable, compute: Callable[[], T], weigh: Callable[[T], int]
    ) -> T | None:
        """Do as `derive` does, from the second time on; None the first time.

        Most pages are read once, and not always in whole.
        """
        return self.derive(key, compute, weigh) if self._derived.mark_used(key) else None

    def values(self, read: Callable[[Item], T]) -> list[T]:
        """Return what a function reads of each row. It is kept with the page, by function."""
        return self.derive(("values", read), lambda: list(map(read, self.items)), sizes)

    def row_of(self, key: K, key_of: Callable[[Item], K]) -> int | None:
        """Return the first row with this key; None if there is none.

        The rows are indexed once for each function `key_of`.
        """

        def index_rows() -> dict[K, int]:
            # Backwards, so that the first row with a key stays.
            rows = range(len(self.items))
            return {key_of(self.items[row]): row for row in reversed(rows)}

        return self.derive(("rows", key_of), index_rows, sizes).get(key)


def sizes(values: Iterable[object]) -> int:
    """Return the bytes of a collection of strings, bytes or the like, as `derive` needs them."""
    return getsizeof(values) + sum(map(getsizeof, values))


def kept_json(value: Any) -> bytes:
    """Return the JSON of a value, with sorted keys, to be kept: the same for equal values.

    What orjson returns has a buffer of 4 KB and more.
    """
    return bytes(memoryview(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)))


def _key_size(key: Hashable) -> int:
    """Return the bytes of a key, those of the names and tokens in it included."""
    parts = key if isinstance(key, tuple) else ()
    return getsizeof(key) + sum(map(_key_size, parts))


@dataclass(frozen=True, slots=True)
class Listing:
    """A filtered list in one region."""

    operation: str
    region: str
    filters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The page of a listing that starts at `token`; None is the first page.

    Two requests are equal if they are for the same place of the list: within a GraphQL request the
    page that was read first, of however many rows, is the one that all fields show.
    """

    listing: Listing
    token: str | None
    rows: int = field(default=PAGE_SIZE, compare=False)
    """The most rows to return. Pages that are cached need them all."""
    is_list: ClassVar[bool] = True

    @property
    def operation(self) -> str:
        return self.listing.operation

    @property
    def region(self) -> str:
        return self.listing.region

    @property
    def parameters(self) -> tuple[tuple[str, Any], ...]:
        token = () if self.token is None else (("nextToken", self.token),)
        return (("maxResults", self.rows), *self.listing.filters, *token)

    def parse(self, response: dict[str, Any]) -> Page:
        return Page(*parse_list(self.operation, response))

    def project(self, result: Page, projection: Projection) -> Page:
        return Page(projection.apply_to_all(result.items), result.next_token)

    def to_json(self, result: Page) -> Any:
        return {"items": result.items, "next_token": result.next_token}

    def from_json(self, value: Any) -> Page:
        return Page(**value)


@dataclass(frozen=True, slots=True)
class ItemRequest:
    """One object, by the parameters of its Get operation."""

    operation: str
    region: str
    parameters: tuple[tuple[str, Any], ...]
    is_list: ClassVar[bool] = False

    def parse(self, response: dict[str, Any]) -> Item:
        return parse_item(self.operation, response)

    def project(self, result: Item, projection: Projection) -> Item:
        return projection.apply(result)

    def to_json(self, result: Item) -> Any:
        return result

    def from_json(self, value: Any) -> Item:
        item: Item = value
        return item


@dataclass(slots=True)
class RequestCost:
    """Counts the upstream calls and cache lookups of one GraphQL request."""

    upstream_calls: int = 0
    cache_hits: int = 0
    """Results from the cache, and from calls that another request had started."""
    retries: int = 0
    aws_request_ids: list[str] = field(default_factory=list)

    def record_response(self, metadata: Mapping[str, Any]) -> None:
        """Count the retries of a call, and keep its id, from its response's `ResponseMetadata`."""
        self.retries += metadata.get("RetryAttempts", 0)
        request_id = metadata.get("RequestId")
        if request_id and len(self.aws_request_ids) < MAX_REQUEST_IDS:
            self.aws_request_ids.append(request_id)

    def add(self, other: "RequestCost") -> None:
        """Add the counts of another request."""
        self.upstream_calls += other.upstream_calls
        self.cache_hits += other.cache_hits
        self.retries += other.retries

    def log_fields(self) -> dict[str, Any]:
        return {
            "upstream_calls": self.upstream_calls,
            "cache_hits": self.cache_hits,
            "retries": self.retries,
        }

    def extensions(self) -> dict[str, Any]:
        return {
            "upstreamCalls": self.upstream_calls,
            "cacheHits": self.cache_hits,
            "retries": self.retries,
            "awsRequestIds": self.aws_request_ids,
        }
