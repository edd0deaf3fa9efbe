"""An upstream whose objects are as large as the service model allows."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.sandbox.api.model import operation_model, service_model
from tests.serving import serve

PAGE_SIZE = 100
ARN = "arn:aws:cleanrooms-ml:us-east-1:123456789012:{kind}/{number}"
UNBOUNDED = 3
"""Elements of a list, and of a map, for which the model has no maximum."""
UNBOUNDED_CHARACTERS = 1000


@dataclass
class MaximalUpstream:
    """Answers List and Get operations for any caller, and counts the calls.

    Each list has `pages` of 100 rows, with tokens of the greatest length.
    """

    pages: int = 5
    status: int = 200
    """Another one answers each call with an error of this status, and `error_code`."""
    error_code: str = ""
    lists_fail: bool = True
    """Whether List operations answer with the error too."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Member name -> the length that its strings, lists or maps have instead of the greatest."""
    calls: Counter[str] = field(default_factory=Counter)
    _cache: dict[tuple[str, str], bytes] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        operation, key = _route(scope["raw_path"].decode())
        self.calls[operation] += 1
        if self.status != 200 and (self.lists_fail or key):
            headers = {"x-amzn-ErrorType": self.error_code}
            response = Response(b'{"message": "rejected"}', self.status, headers)
        else:
            parameters = dict(parse_qsl(scope["query_string"].decode())) | {"arn": key}
            response = Response(self.respond(operation, parameters))
        response.headers["content-type"] = "application/json"
        await response(scope, receive, send)

    def respond(self, operation: str, parameters: Mapping[str, Any]) -> bytes:
        """Return the body of a successful response."""
        if operation.startswith("Get"):
            (arn,) = parameters.values()
            return self._item(operation, arn)
        page = int(parameters.get("nextToken", "0000")[:4])
        return self._page(operation, page, parameters.get("audienceGenerationJobArn", ""))

    def _page(self, operation: str, page: int, arn: str) -> bytes:
        cached = self._cache.get((operation, f"{page}{arn}"))
        if cached is not None:
            return cached
        shape: Any = operation_model(operation).output_shape
        member, rows = next((n, s) for n, s in shape.members.items() if s.type_name == "list")
        numbers = range(page * PAGE_SIZE, (page + 1) * PAGE_SIZE)
        body: dict[str, Any] = {
            member: [self._value(rows.member, member, number, arn) for number in numbers]
        }
        if page + 1 < self.pages:
            body["nextToken"] = f"{page + 1:04}".ljust(10_240, "t")
        content = self._cache[operation, f"{page}{arn}"] = orjson.dumps(body)
        return content

    def _item(self, operation: str, key: str) -> bytes:
        cached = self._cache.get((operation, ""))
        if cached is None:
            shape = operation_model(operation).output_shape
            body = self._value(shape, operation, 0, "")
            cached = self._cache[operation, ""] = orjson.dumps(body)
        arn_member = f"{operation[3].lower()}{operation[4:]}Arn"
        return orjson.dumps({**orjson.loads(cached), arn_member: key})

    def _value(self, shape: Any, name: str, number: int, arn: str) -> Any:
        size = self.sizes.get(name, shape.metadata.get("max"))
        match shape.type_name:
            case "structure":
                return {
                    member: self._value(each, member, number, arn)
                    for member, each in shape.members.items()
                }
            case "list":
                count = UNBOUNDED if size is None else size
                return [self._value(shape.member, name, number, arn) for _ in range(count)]
            case "map":
                count = UNBOUNDED if size is None else size
                return {f"{index:03}".ljust(100, "k"): "v" * 250 for index in range(count)}
            case "string":
                return _text(shape, name, number, size, arn)
        numbers = {"boolean": True, "timestamp": "2026-01-02T03:04:05.678Z"}
        return numbers.get(shape.type_name, size or 1)


def _text(shape: Any, name: str, number: int, size: int | None, arn: str) -> str:
    if "enum" in shape.metadata:
        return str(shape.metadata["enum"][0])
    if name.endswith("Arn") and (size is None or size > len(ARN)):
        return arn if arn and name == "audienceGenerationJobArn" else arn_of(name, number)
    text = f"{number:05}" if name == "name" else ""
    return text.ljust(UNBOUNDED_CHARACTERS if size is None else size, "x")


def arn_of(member: str, number: int) -> str:
    """Return the ARN of the object with this number, as the member with this name has it."""
    kind = re.sub(r"(?<!^)([A-Z])", r"-\1", member.removesuffix("Arn")).lower()
    return ARN.format(kind=kind, number=f"{number:08}-0000-4000-8000-000000000000")


def _route(path: str) -> tuple[str, str]:
    """Return the operation of a request's path, and the ARN in it."""
    collection, _, key = path.removeprefix("/").partition("/")
    for operation in service_model().operation_names:
        http = operation_model(operation).http
        if http["method"] == "GET" and http["requestUri"].split("/{")[0] == f"/{collection}":
            is_list = "{" not in http["requestUri"]
            if is_list != bool(key) and operation.startswith(("Get", "List")):
                return operation, unquote(key)
    raise AssertionError(path)


@contextmanager
def maximal_upstream(**options: Any) -> Iterator[tuple[str, MaximalUpstream]]:
    """Serve a MaximalUpstream; yields its URL and itself."""
    upstream = MaximalUpstream(**options)
    with serve(upstream) as url:
        yield url, upstream
