"""A client of both transports of subscriptions, which accepts only what their protocols permit.

Sources: GraphQL over Server-Sent Events protocol, distinct connections mode; Apollo's multipart
protocol for GraphQL subscriptions over HTTP.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.gateways import TIMEOUT_SECONDS, TLS

SSE = "text/event-stream"
MULTIPART = "multipart/mixed;subscriptionSpec=1.0"
TRANSPORTS = (SSE, MULTIPART)
"""Media types as a client names them in `Accept`."""

CONTENT_TYPES = {
    SSE: "text/event-stream",
    MULTIPART: "multipart/mixed;boundary=graphql;subscriptionSpec=1.0",
}
"""Transport -> the media type of its responses."""

OPENINGS = {SSE: b":\n\n", MULTIPART: b"\r\n--graphql"}

DELIMITER = b"\r\n--graphql"
PART_HEAD = b"\r\ncontent-type: application/json\r\n\r\n"

JOB = """
  subscription Watch($arn: String!) {
    audienceGenerationJob(audienceGenerationJobArn: $arn) { status }
  }
"""
CHANGES = "subscription { audienceGenerationJobChanges { kind audienceGenerationJobArn } }"


@dataclass(frozen=True)
class Result:
    """What the client gets for an event."""

    content: Any


@dataclass(frozen=True)
class Heartbeat:
    """A sign of life."""


@dataclass(frozen=True)
class Complete:
    """The end of what the client subscribed to."""


@dataclass(frozen=True)
class Ended:
    """The gateway ends the stream; the client is to subscribe again."""

    reason: str


Message = Result | Heartbeat | Complete | Ended


class StreamEndedError(Exception):
    """The response is complete; `unread` is what has no end."""

    def __init__(self, unread: bytes = b"") -> None:
        super().__init__(unread)
        self.unread = unread


class Stream:
    """A response that is a stream, read message by message."""

    def __init__(self, response: httpx.Response, transport: str) -> None:
        self.response = response
        self.data = b""
        """All that was read."""
        self._chunks = response.iter_bytes()
        parse = {SSE: _event_messages, MULTIPART: _multipart_messages}[transport]
        self._messages = parse(self._read_until, self._read_end)
        self._unread = b""

    def message(self) -> Message:
        """Return the next message; raises StreamEndedError after the last."""
        try:
            return next(self._messages)
        except StopIteration:
            raise StreamEndedError from None

    def result(self) -> Any:
        """Return the content of the next result."""
        while isinstance(message := self.message(), Heartbeat):
            pass
        assert isinstance(message, Result), message
        return message.content

    def status(self) -> str:
        """Return the status of the job in the next event."""
        status: str = self.result()["data"]["audienceGenerationJob"]["status"]
        return status

    def rest(self) -> list[Message]:
        """Read to the end; return the messages but heartbeats."""
        return [each for each in self._messages if each != Heartbeat()]

    def _read_until(self, end: bytes) -> bytes:
        """Return what precedes some bytes, which are skipped."""
        while end not in self._unread:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise StreamEndedError(self._unread)
            self.data += chunk
            self._unread += chunk
        found, _, self._unread = self._unread.partition(end)
        return found

    def _read_end(self) -> bytes:
        """Read to the end of the response; return what was not read yet."""
        for chunk in self._chunks:
            self.data += chunk
            self._unread += chunk
        rest, self._unread = self._unread, b""
        return rest


ReadUntil = Callable[[bytes], bytes]
ReadEnd = Callable[[], bytes]


def _event_messages(read_until: ReadUntil, read_end: ReadEnd) -> Iterator[Message]:
    while True:
        try:
            block = read_until(b"\n\n").decode()
        except StreamEndedError as ended:
            if ended.unread:
                raise
            return  # clients subscribe again
        if block == "event: complete\ndata:":
            yield Complete()
            assert read_end() == b""
            return
        if block.startswith(":"):
            assert "\n" not in block
            yield Ended(block.removeprefix(": ")) if block != ":" else Heartbeat()
            continue
        head, _, data = block.partition("\ndata: ")
        assert head == "event: next", block
        assert "\n" not in data
        yield Result(json.loads(data))


def _multipart_messages(read_until: ReadUntil, read_end: ReadEnd) -> Iterator[Message]:
    assert read_until(DELIMITER) == b""
    while True:
        if (follows := read_until(b"\r\n")) == b"--":
            yield Complete()
            break
        assert follows == b""
        part = b"\r\n" + read_until(DELIMITER)
        assert part.startswith(PART_HEAD), part
        content = json.loads(part.removeprefix(PART_HEAD))
        if content == {}:
            yield Heartbeat()
        elif content["payload"] is None:
            (error,) = content["errors"]
            assert error["extensions"] == {"code": "SUBSCRIPTION_ENDED"}
            yield Ended(error["message"])
            assert read_until(b"\r\n") == b"--"
            break
        else:
            assert content.keys() == {"payload"}
            yield Result(content["payload"])
    assert read_end() == b""


def caller_headers(caller: str | None = "ada") -> dict[str, str]:
    return dict(aws_headers(CALLERS[caller])) if caller else {}


@contextmanager
def requested(
    url: str,
    query: str,
    variables: Mapping[str, Any] | None = None,
    *,
    method: str = "POST",
    path: str = "/graphql",
    caller: str | None = "ada",
    headers: Mapping[str, str] | None = None,
    **parameters: Any,
) -> Iterator[httpx.Response]:
    """Send an operation; give the response before its body has been read."""
    sent = {**caller_headers(caller), **(headers or {})}
    content = {"query": query, "variables": variables or {}, **parameters}
    options: dict[str, Any] = {"json": content}
    if method == "GET":
        texts = {name: value for name, value in content.items() if isinstance(value, str)}
        as_json = {name: json.dumps(value) for name, value in content.items()}
        options = {"params": {**as_json, **texts}}
    with (
        httpx.Client(timeout=TIMEOUT_SECONDS, verify=TLS, trust_env=False) as client,
        client.stream(method, url + path, headers=sent, **options) as response,
    ):
        yield response


@contextmanager
def subscribed(
    url: str,
    query: str,
    variables: Mapping[str, Any] | None = None,
    *,
    transport: str = SSE,
    headers: Mapping[str, str] | None = None,
    **options: Any,
) -> Iterator[Stream]:
    """Subscribe until the end of the block; fails unless the response is a stream."""
    named = {"Accept": transport, **(headers or {})}
    with requested(url, query, variables, headers=named, **options) as response:
        assert response.headers["content-type"] == CONTENT_TYPES[transport], response.read()
        assert response.status_code == 200
        yield Stream(response, transport)


@contextmanager
def watching(url: str, arn: str, **options: Any) -> Iterator[Stream]:
    """Subscribe to a job until the end of the block."""
    with subscribed(url, JOB, {"arn": arn}, **options) as stream:
        yield stream


def http_1_0_request(query: str, variables: Mapping[str, Any], transport: str) -> bytes:
    """Return a request of a client that knows no chunks: the body of its response is the stream."""
    body = json.dumps({"query": query, "variables": variables})
    lines = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Accept": transport,
        **caller_headers(),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST /graphql HTTP/1.0\r\n{head}\r\n{body}".encode()


def messages_of(response: bytes, transport: str) -> list[Message]:
    """Return the messages of a whole response to such a request, but heartbeats."""
    content = response.partition(b"\r\n\r\n")[2]
    return Stream(httpx.Response(200, content=content), transport).rest()
