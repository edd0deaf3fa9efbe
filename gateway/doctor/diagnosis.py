"""The result of a check, and the diagnosis of an error: its cause in plain words, and a remedy."""

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeAlias

import aiohttp
from redis import exceptions as redis

from gateway import errors
from gateway.outgoing import AUTHORITIES, ProxyRefusedError
from gateway.upstream.cache.redis import CONNECT_SECONDS, CONNECTIONS, error_code
from gateway.upstream.cache.redis_node import SPARE_CONNECTIONS

CHECK_SECONDS = 5.0
"""The timeout of each check."""

REDIS_LIMIT_MS = round(CONNECT_SECONDS * 1000)
"""How long the gateway itself waits for Redis."""

REDIS_PERMISSIONS = (
    "~audience-gateway:* +ping +select +get +set +del +evalsha +script +exists +incrby +pttl "
    "+rename +info +cluster|slots"
)
"""What the ACL of the gateway's user must allow, for serving and for this check."""


class State(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"
    SKIPPED = "skipped"


class Problem(NamedTuple):
    cause: str
    remedy: str = ""
    state: State = State.FAIL


Result: TypeAlias = str | Problem
"""Of a check, which succeeded if it is a string. The text is a clause without a full stop."""


def skipped(cause: str) -> Problem:
    return Problem(cause, state=State.SKIPPED)


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one check; `remedy` is set if the state is `warn` or `FAIL`."""

    what: str
    state: State
    detail: str
    remedy: str = ""


def row_of(what: str, result: Result, subject: str = "") -> Row:
    """Return the row of a result, with the subject before its text."""
    cause, remedy, state = Problem(result, "", State.OK) if isinstance(result, str) else result
    detail = f"{subject}: {cause}." if subject else f"{cause[0].upper()}{cause[1:]}."
    return Row(what, state, detail, remedy)


async def attempt(
    what: str, check: Awaitable[Result], diagnose: Callable[[Exception], Result], subject: str = ""
) -> Row:
    """Return the row of a check; its exceptions are diagnosed and do not escape."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return row_of(what, await check, subject)
    except Exception as error:  # noqa: BLE001  the report must have all other rows
        return row_of(what, diagnose(error), subject)


def unexpected(error: Exception) -> Problem:
    """Return the problem of any other error. Its text may hold a secret and is not shown."""
    cause = f"the check itself failed ({type(error).__qualname__})"
    return Problem(cause, "Report it to the maintainers of the gateway.")


Problems = Mapping[tuple[type[BaseException], ...], Problem]
"""Errors -> their problem, the most specific first."""

_NETWORK = "Check firewalls, security groups, routes and the DNS resolver."
_SERVICE = "Check the address and the port, and that the service is running."

NETWORK_PROBLEMS: Problems = {
    (aiohttp.ClientConnectorDNSError, socket.gaierror, UnicodeError): Problem(
        "the host name cannot be resolved (DNS)",
        "Check the address, the resolver, and that the service exists in this region.",
    ),
    (ssl.SSLError,): Problem("the TLS handshake failed", "Check the scheme and the port."),
    (ConnectionRefusedError,): Problem("connection refused", _SERVICE),
    (aiohttp.ConnectionTimeoutError,): Problem("the connection timed out", _NETWORK),
    (TimeoutError,): Problem(f"no response within {CHECK_SECONDS:.0f} s", _NETWORK),
    (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, ConnectionError): Problem(
        "the connection was closed without a response",
        "A proxy may close the connection, or the port may require TLS.",
    ),
    (aiohttp.ClientConnectorError,): Problem("the connection failed", _NETWORK),
    (aiohttp.ClientError,): Problem("the response is not valid HTTP", _SERVICE),
}


def network_problem(error: BaseException) -> Problem | None:
    """Diagnose an error and its causes; None if none of them is an error of the network."""
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, ProxyRefusedError):
            return Problem(str(cause), "Check HTTPS_PROXY and NO_PROXY, and the proxy's own rules.")
        if reason := getattr(cause, "verify_message", ""):  # of ssl.SSLCertVerificationError
            remedy = (
                f"Add its authority to {', '.join(AUTHORITIES)}; they replace the system's own."
            )
            return Problem(f"the TLS certificate is not trusted: {reason}", remedy)
    return _find(NETWORK_PROBLEMS, causes)


def _find(problems: Problems, causes: Sequence[BaseException]) -> Problem | None:
    for kinds, problem in problems.items():
        if any(isinstance(cause, kinds) for cause in causes):
            return problem
    return None


def _causes(error: BaseException | None) -> Sequence[BaseException]:
    """Return an error and its causes."""
    causes: list[BaseException] = []
    while error is not None and error not in causes:
        causes.append(error)
        error = error.__cause__ or error.__context__
    return causes


_CODE = re.compile(r"[A-Za-z.]{1,64}")
"""An error code that may be shown: a server other than AWS may put the request's secrets there."""


def aws_code(error: Exception) -> str | None:
    """Return the error code of AWS; None if the response is not in the format of AWS."""
    details = error.aws if isinstance(error, errors.GatewayError) else None
    return details.code if details and _CODE.fullmatch(details.code) else None


def is_decision(error: Exception | None) -> bool:
    """Return whether AWS accepted, refused or throttled the caller."""
    decisions = (errors.ForbiddenError, errors.UnauthenticatedError, errors.ThrottledError)
    return error is None or (aws_code(error) is not None and isinstance(error, decisions))


def aws_problem(error: Exception, setting: str) -> Problem:
    """Diagnose a call on which AWS did not decide; `setting` names the address."""
    code, other_service = aws_code(error), f"It may be a proxy or another service. Check {setting}."
    if code and isinstance(error, (errors.UpstreamTimeoutError, errors.UpstreamUnavailableError)):
        return Problem(f"AWS returned {code}", "AWS may have an incident. Try again in a minute.")
    if code:
        return Problem(f"it returned {code} and does not know the operation", other_service)
    if isinstance(error, errors.GatewayError) and error.aws is not None:
        status = f" {error.aws.code}" if error.aws.code.isdecimal() else ""
        return Problem(f"it returned HTTP{status}, but not in the format of AWS", other_service)
    if isinstance(error, errors.UpstreamInvalidResponseError):
        return Problem("what responds is not AWS", other_service)
    return network_problem(error) or unexpected(error)


def caller_problem(error: Exception) -> Problem:
    """Diagnose a decision of AWS against the caller."""
    code = aws_code(error)
    cause = f"{clause(error)} ({code})"
    if isinstance(error, errors.ThrottledError):
        return Problem(cause, "Try again in a minute.", State.WARN)
    if isinstance(error, errors.ForbiddenError):
        remedy = "Allow cleanrooms-ml:List* and cleanrooms-ml:Get*, and check for explicit denies."
    elif code in {"ExpiredToken", "ExpiredTokenException"}:
        remedy = "Get new credentials."
    elif code in {"InvalidSignatureException", "SignatureDoesNotMatch", "RequestExpired"}:
        remedy = "Check the secret access key, and the row `clock`."
    else:
        remedy = "Check that key and session token belong together, and that the region is enabled."
    return Problem(cause, remedy)


def clause(error: Exception) -> str:
    return str(error).removesuffix(".")


def not_aws(accepted: str, setting: str) -> Problem:
    remedy = f"If that is not intended, check {setting}."
    return Problem(f"it accepts {accepted}, so it is not AWS", remedy, State.WARN)


def sts_problem(error: Exception) -> Problem:
    if isinstance(error, errors.ForbiddenError) and (code := aws_code(error)):
        remedy = "Enable STS and its region in the account, and check endpoint policies."
        return Problem(f"it returned {code}: {clause(error)}", remedy)
    return aws_problem(error, "GATEWAY_STS_URL")


def token_problem(error: Exception) -> Problem:
    if code := aws_code(error):
        return Problem(
            f"STS returned {code}: {clause(error)}",
            "In the role's account, create an IAM OIDC provider for this issuer and audience; in "
            "the role, allow it sts:AssumeRoleWithWebIdentity, and sessions of session_seconds.",
        )
    if isinstance(error, errors.UnauthenticatedError):
        remedy = "Get a new token, for an audience and from an issuer in GATEWAY_OIDC_FILE."
        return Problem(clause(error), remedy)
    known = Problem(clause(error)) if isinstance(error, errors.GatewayError) else None
    problem = network_problem(error) or known or unexpected(error)
    return problem._replace(remedy="See the row of its issuer, and the row of STS.")


def issuer_problem(error: Exception) -> Problem:
    remedy = "Check `issuer` and `jwks_url` in GATEWAY_OIDC_FILE, and the issuer itself."
    known = Problem(str(error), remedy) if isinstance(error, ValueError) else None
    problem = network_problem(error) or known or unexpected(error)
    return problem._replace(cause=f"no keys: {problem.cause}")


_MOST_CONNECTIONS = f"each process may need {CONNECTIONS + SPARE_CONNECTIONS} connections to a node"

NO_REDIS = Problem("it does not speak the Redis protocol", "Check GATEWAY_CACHE_URL.")

_PERMISSION = Problem("its ACL denies the user a command or key", f"Allow {REDIS_PERMISSIONS}.")
_READ_ONLY = Problem("it is a read-only replica", "Set GATEWAY_CACHE_URL to the primary.")
_FULL = Problem("its memory is full", "Raise maxmemory, and set maxmemory-policy to allkeys-lru.")

REDIS_PROBLEMS: Problems = {
    (redis.AuthenticationError, redis.AuthenticationWrongNumberOfArgsError): Problem(
        "it refused the user or the password",
        "Check the user:password@ of GATEWAY_CACHE_URL; it must be percent-encoded.",
    ),
    (redis.NoPermissionError,): _PERMISSION,
    (redis.ReadOnlyError,): _READ_ONLY,
    (redis.OutOfMemoryError,): _FULL,
    (redis.BusyLoadingError,): Problem("it is loading its dataset", "Try again later."),
    (redis.MasterDownError,): Problem(
        "it is a replica that has lost its primary",
        "Check the primary, and set GATEWAY_CACHE_URL to it.",
    ),
    (redis.ClusterDownError,): Problem(
        "its cluster is down, or has no node for some slots",
        "Repair it, for example with `redis-cli --cluster fix`.",
    ),
    (redis.AskError,): Problem(  # MOVED is one of these
        "it is a node of a cluster, and another node has the key",
        "Allow its user +cluster|slots, and check that no resharding is under way.",
    ),
    (redis.TimeoutError,): Problem(
        f"no connection within {REDIS_LIMIT_MS} ms, which is the gateway's limit",
        "Check firewalls and security groups, or use a Redis that is nearer.",
    ),
    (TimeoutError,): Problem(
        f"it is connected, but does not respond within {CHECK_SECONDS:.0f} s",
        "Check that it does not hang, and that no other service listens there.",
    ),
}

REDIS_SCRIPT_PROBLEMS = {
    "executing the script": _PERMISSION,  # until Redis 7.0
    "ACL failure in script": _PERMISSION,
    "READONLY": _READ_ONLY,
    "OOM": _FULL,
}
"""Part of the error of a script -> the problem of the command in it that failed."""


def redis_problem(error: Exception) -> Problem:
    """Diagnose an error of Redis. Its text may contain data and is not shown."""
    if known := _find(REDIS_PROBLEMS, [error]):
        return known
    if isinstance(error, redis.ResponseError):
        return _redis_refusal(error)
    if network := network_problem(error):
        return network
    if isinstance(error, redis.ConnectionError):
        if "max number of clients" in str(error):
            return Problem("it accepts no more clients", f"Raise maxclients: {_MOST_CONNECTIONS}.")
        return Problem("it closed the connection", "If the port requires TLS, use rediss://.")
    return NO_REDIS


def _redis_refusal(error: redis.ResponseError) -> Problem:
    for part, problem in REDIS_SCRIPT_PROBLEMS.items():
        if part in str(error):
            return problem
    remedy = (
        "Check its log, and the number of the database in GATEWAY_CACHE_URL: a cluster has 0 only."
    )
    return Problem(f"it refused a command ({error_code(error)})", remedy)
