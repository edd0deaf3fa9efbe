"""An upstream that costs next to nothing: prepared answers of 100 rows, in a process of its own.

    python benchmarks/canned.py --pages 100 --delay-ms 0

Prints its URL. Page n's token is the text of n, padded to the length of a usual token.
"""

import argparse
import asyncio
import json
import re
from functools import cache
from typing import cast

import uvloop

ROWS = 100
TOKEN_CHARACTERS = 300
TOKEN = re.compile(rb"nextToken=(\d+)")
ARN = "arn:aws:cleanrooms-ml:us-east-1:123456789012"


def row(number: int) -> dict[str, str]:
    """Make one row with every list field."""
    model = number % 7
    job = f"{number:08d}-4a3b-8c2d-1e0f9a8b7c6d"
    return {
        "audienceGenerationJobArn": f"{ARN}:audience-generation-job/{job}",
        "collaborationId": f"{model:08d}-1234-4321-8765-0123456789ab",
        "configuredAudienceModelArn": f"{ARN}:configured-audience-model/{model:08d}-4a3b-8c2d-1e0f",
        "createTime": "2026-01-02T03:04:05.678Z",
        "description": "People who are like the buyers of the spring campaign",
        "name": f"Spring campaign {number}",
        "startedBy": "123456789012",
        "status": "ACTIVE",
        "updateTime": "2026-01-02T03:14:05.678Z",
    }


def reply(content: object) -> bytes:
    """Make a whole HTTP answer."""
    body = json.dumps(content).encode()
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        b"x-amzn-RequestId: 2f1d7a34-0000-4000-8000-000000000000\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    ) + body


@cache
def page(number: int, pages: int) -> bytes:
    """Make the answer with this page."""
    rows = [row(number * ROWS + index) for index in range(ROWS)]
    content: dict[str, object] = {"audienceGenerationJobs": rows}
    if number + 1 < pages:
        content["nextToken"] = str(number + 1).zfill(TOKEN_CHARACTERS)
    return reply(content)


class Canned(asyncio.Protocol):
    """Answers each request head with a prepared page; counts the calls."""

    calls = 0

    def __init__(self, pages: int, delay: float) -> None:
        self.pages = pages
        self.delay = delay
        self.read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer each whole head."""
        self.read += data
        while b"\r\n\r\n" in self.read:
            head, self.read = self.read.split(b"\r\n\r\n", 1)
            if head.startswith(b"GET /_calls "):
                self.transport.write(reply(Canned.calls))
                continue
            Canned.calls += 1
            token = TOKEN.search(head)
            answer = page(int(token[1]) if token else 0, self.pages)
            if self.delay:
                asyncio.get_running_loop().call_later(self.delay, self.transport.write, answer)
            else:
                self.transport.write(answer)


async def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--delay-ms", type=float, default=0)
    options = parser.parse_args()
    for number in range(options.pages):
        page(number, options.pages)  # now, so that no call pays for it
    server = await asyncio.get_running_loop().create_server(
        lambda: Canned(options.pages, options.delay_ms / 1000), "127.0.0.1", 0
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
