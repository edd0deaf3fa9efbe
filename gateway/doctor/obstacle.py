"""What stands in the way to a host, read out of the failure of a client."""

import socket
import ssl
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import aiohttp

SECONDS = 5.0
"""What each try may take."""

_ADDRESS = "Check the address and the port, and that the service is up."
_NETWORK = "A firewall, a security group, a missing route or a silent resolver may be in the way."
_CLOSED = "Something between may close it, such as a proxy; or the port wants TLS and gets none."
_AUTHORITY = (
    "If its authority is your own, name it: AWS_CA_BUNDLE for AWS, SSL_CERT_FILE for the others."
)


class Obstacle(NamedTuple):
    """Why a host is not reached, and what to do."""

    why: str
    remedy: str


KNOWN: tuple[tuple[tuple[type[BaseException], ...], Obstacle], ...] = (
    # Most specific first.
    (
        (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError),
        Obstacle("the proxy on the way does not let us through", "Check HTTPS_PROXY and NO_PROXY."),
    ),
    (
        (aiohttp.ClientConnectorDNSError, socket.gaierror, UnicodeError),
        Obstacle(
            "its name is not known here (DNS)",
            "Check the address, the resolver, and that the service is offered in this region.",
        ),
    ),
    (
        (ssl.SSLCertVerificationError,),
        Obstacle("its TLS certificate is not trusted here", _AUTHORITY),
    ),
    (
        (ssl.SSLError,),
        Obstacle("no TLS that is good for us is spoken there", "Check the scheme and the port."),
    ),
    ((ConnectionRefusedError,), Obstacle("nothing listens there", _ADDRESS)),
    ((aiohttp.ConnectionTimeoutError,), Obstacle("no connection is made in time", _NETWORK)),
    (
        (TimeoutError,),
        Obstacle(f"no answer within {SECONDS:.0f} s", f"It may be overloaded. {_NETWORK}"),
    ),
    (
        (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, ConnectionError),
        Obstacle("the connection was closed without an answer", _CLOSED),
    ),
    ((aiohttp.ClientConnectorError,), Obstacle("no connection can be made", _NETWORK)),
)


def obstacle(error: BaseException) -> Obstacle | None:
    """Say what an error, or one that led to it, tells of the way; None if nothing."""
    causes = list(_causes(error))
    for kinds, found in KNOWN:
        for cause in causes:
            if isinstance(cause, kinds):
                said = _reason(causes) if ssl.SSLCertVerificationError in kinds else ""
                return found._replace(why=found.why + said)
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Go through all that led to an error; some clients wrap theirs without Python's knowing."""
    waiting, seen = deque([error]), set[int]()
    while waiting:
        each = waiting.popleft()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        wrapped = getattr(each, "kwargs", None) or {}
        inner = (wrapped.get("error"), getattr(each, "os_error", None))
        more = (*inner, getattr(each, "certificate_error", None), each.__cause__, each.__context__)
        waiting.extend(cause for cause in more if isinstance(cause, BaseException))


def _reason(causes: list[BaseException]) -> str:
    """Give OpenSSL's own words for a certificate that is not trusted."""
    said = (getattr(cause, "verify_message", None) for cause in causes)
    return next((f": {words}" for words in said if words), "")
