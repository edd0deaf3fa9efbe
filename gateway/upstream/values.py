"""The values that pass between the graph and the upstream: requests, results and their cost."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar

from gateway.upstream.model import parse_item, parse_list
from gateway.upstream.projection import Projection

K = TypeVar("K", bound=Hashable)
T_co = TypeVar("T_co", covariant=True)

Item: TypeAlias = Mapping[str, Any]
"""One object, by the upstream's own member names. Readers share it: never modify one."""

PAGE_SIZE = 100
"""The upstream's maximum, so that one cached page serves every `first`."""

MAX_REQUEST_IDS = 100


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

    def from_json(self, value: Any) -> T_co:
        """Restore a result from what orjson made of it for the cache."""


@dataclass(frozen=True, slots=True)
class Page:
    """One response of a List operation. It may be short or empty and still carry a token."""

    items: list[Item]
    next_token: str | None
    _rows: dict[object, dict[Hashable, int]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def row_of(self, key: K, key_of: Callable[[Item], K]) -> int | None:
        """Return the first row with this key; None if there is none.

        The rows are indexed once for each function `key_of`.
        """
        rows = self._rows.get(key_of)
        if rows is None:
            rows = self._rows[key_of] = {}
            for row, item in enumerate(self.items):
                rows.setdefault(key_of(item), row)
        return rows.get(key)


@dataclass(frozen=True, slots=True)
class Listing:
    """A filtered list in one region."""

    operation: str
    region: str
    filters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The page of a listing that starts at `token`; None is the first page."""

    listing: Listing
    token: str | None
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
        return (("maxResults", PAGE_SIZE), *self.listing.filters, *token)

    def parse(self, response: dict[str, Any]) -> Page:
        return Page(*parse_list(self.operation, response))

    def project(self, result: Page, projection: Projection) -> Page:
        return Page([projection.apply(item) for item in result.items], result.next_token)

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
    scanned: int = 0
    """List items that were examined."""
    aws_request_ids: list[str] = field(default_factory=list)

    def record_response(self, metadata: Mapping[str, Any]) -> None:
        """Count a response by its `ResponseMetadata`."""
        self.upstream_calls += 1
        self.retries += metadata.get("RetryAttempts", 0)
        request_id = metadata.get("RequestId")
        if request_id and len(self.aws_request_ids) < MAX_REQUEST_IDS:
            self.aws_request_ids.append(request_id)

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
            "scanned": self.scanned,
            "awsRequestIds": self.aws_request_ids,
        }
