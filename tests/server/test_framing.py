"""Responses have the bytes that uvicorn itself would write."""

import asyncio
import itertools
import logging
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.server.framing import frame_body, start_response

LENGTH = (b"content-length", b"6")
CLOSE = (b"connection", b"close")
TYPE = (b"content-type", b"text/plain")


class Written(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.data = b""

    def write(self, data: Any) -> None:
        self.data += data

    def close(self) -> None:
        pass


def cycle(
    method: str = "GET", *, keep_alive: bool = True, http_version: str = "1.1"
) -> RequestResponseCycle:
    transport = Written()
    return RequestResponseCycle(
        scope={"method": method, "http_version": http_version},  # type: ignore[typeddict-item]
        transport=transport,
        flow=FlowControl(transport),
        logger=logging.getLogger(__name__),
        access_logger=logging.getLogger(__name__),
        access_log=False,
        default_headers=[(b"date", b"today")],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )


def messages(status: int, headers: list[tuple[bytes, bytes]], *parts: bytes) -> list[Any]:
    more = [True] * (len(parts) - 1) + [False]
    return [
        {"type": "http.response.start", "status": status, "headers": headers},
        *(
            {"type": "http.response.body", "body": part, "more_body": each}
            for part, each in zip(parts, more, strict=True)
        ),
    ]


def framed(ours: RequestResponseCycle, start: Any, *bodies: Any) -> bytes:
    head = start_response(ours, start)
    return head + b"".join(part for body in bodies for part in frame_body(ours, body))


@pytest.mark.parametrize("headers", [[], [LENGTH], [TYPE, LENGTH, CLOSE], [CLOSE]])
@pytest.mark.parametrize("parts", [(b"answer",), (b"ans", b"wer"), (b"", b"answer", b"")])
async def test_responses_are_framed_as_by_uvicorn(
    headers: list[tuple[bytes, bytes]], parts: tuple[bytes, ...]
) -> None:
    for method, status, keeps in itertools.product(
        ("GET", "HEAD", "POST"), (200, 503), (True, False)
    ):
        theirs, ours = (cycle(method, keep_alive=keeps) for _ in range(2))
        sent = messages(status, headers, *parts)
        for message in sent:
            await theirs.send(message)

        assert framed(ours, *sent) == theirs.transport.data  # type: ignore[attr-defined]
        assert ours.keep_alive == theirs.keep_alive
        assert ours.response_started


@pytest.mark.parametrize("parts", [(b"answer",), (b"ans", b"wer"), (b"", b"answer", b"")])
def test_a_body_of_unknown_length_ends_with_the_connection_of_http_1_0(
    parts: tuple[bytes, ...],
) -> None:
    """Its clients know no chunks."""
    ours = cycle(keep_alive=False, http_version="1.0")
    head, _, body = framed(ours, *messages(200, [TYPE], *parts)).partition(b"\r\n\r\n")

    assert body == b"answer"
    assert b"transfer-encoding" not in head
    assert head.endswith(b"\r\nconnection: close")


@pytest.mark.parametrize("status", [204, 304])
async def test_some_statuses_have_no_body(status: int) -> None:
    theirs, ours = cycle(), cycle()
    sent = messages(status, [TYPE], b"")
    for message in sent:
        await theirs.send(message)

    assert framed(ours, *sent) == theirs.transport.data  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "header", [(b"x-name", b"a\r\nb: c"), (b"x-name: x", b"a"), (b"x\r\n", b"a"), (b"x", b"\0")]
)
def test_a_header_is_one_line(header: tuple[bytes, bytes]) -> None:
    for _ in range(2):
        with pytest.raises(RuntimeError, match="header"):
            framed(cycle(), *messages(200, [LENGTH, header], b"answer"))


@pytest.mark.parametrize("parts", [(b"answers",), (b"an", b"swers"), (b"short",), (b"", b"")])
def test_a_body_is_as_long_as_announced(parts: tuple[bytes, ...]) -> None:
    with pytest.raises(RuntimeError, match="Content-Length"):
        framed(cycle(), *messages(200, [LENGTH], *parts))


def test_a_response_has_one_head_and_ends_once() -> None:
    start, body = messages(200, [], b"answer")
    ours = cycle()
    framed(ours, start, body)
    with pytest.raises(RuntimeError, match="head"):
        start_response(ours, start)
    ours.response_complete = True
    with pytest.raises(RuntimeError, match="ended"):
        frame_body(ours, body)
