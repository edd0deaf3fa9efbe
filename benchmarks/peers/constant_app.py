"""What uvicorn itself costs: it answers every request with the bytes of one file.

python -m benchmarks.peers.constant_app PORT FILE
"""

import sys
from pathlib import Path

import uvicorn
from starlette.types import Receive, Scope, Send


def main() -> None:
    body = Path(sys.argv[2]).read_bytes()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001  ASGI
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="warning",
        access_log=False,
        lifespan="off",
    )


if __name__ == "__main__":
    main()
