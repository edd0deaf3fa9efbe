"""A running sandbox, asked over its control API."""

import json
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

_SECONDS = 10


class RemoteError(Exception):
    """The sandbox cannot be reached, or refuses; the message says which."""


def ask_control(url: str, method: str, path: str, order: object = None) -> dict[str, Any]:
    """Send one request to the control API and give its JSON."""
    if not url.startswith(("http://", "https://")):
        raise RemoteError(f"{url!r} is no http:// or https:// address.")
    request = Request(  # noqa: S310 - checked above
        f"{url.rstrip('/')}/_sandbox{path}",
        data=None if order is None else json.dumps(order).encode(),
        headers={"Content-Type": "application/json"},
        method=method,
    )
    # A proxy named in the environment could not reach a sandbox on this machine.
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(request, timeout=_SECONDS) as response:
            answer: dict[str, Any] = json.load(response)
    except HTTPError as error:
        with error:
            raise RemoteError(_message(error.read(), error.code)) from None
    except (OSError, HTTPException, URLError, ValueError) as error:
        raise RemoteError(f"No sandbox answers at {url}: {error}") from None
    return answer


def _message(body: bytes, status: int) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return f"The address answers with HTTP {status}; is a sandbox running there?"
