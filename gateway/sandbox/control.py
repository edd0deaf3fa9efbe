"""The control API under `/_sandbox/`, unsigned: faults, the call log, jobs, tokens and keys."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, fields
from http import HTTPStatus

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.sandbox.api.model import unix_ms
from gateway.sandbox.api.operations import CallLog, Clock
from gateway.sandbox.auth.issuer import ALGORITHMS, TokenIssuer, TokenRequest, issuer_url
from gateway.sandbox.auth.sts import SandboxSessions
from gateway.sandbox.data.accounts import CALLERS, USERS, Account, Accounts, SandboxCaller
from gateway.sandbox.faults.registry import (
    FAULTS,
    ActiveFaults,
    ControlRequestError,
    parse_fault_request,
)

_DEFAULT_REGION = "us-east-1"
_MAX_TOKEN_SECONDS = 10 * 365 * 86_400

Endpoint = Callable[[Request], Awaitable[object]]


class ControlApi:
    """The endpoints of the control API, which return JSON values."""

    def __init__(
        self,
        *,
        faults: ActiveFaults,
        log: CallLog,
        accounts: Accounts,
        sessions: SandboxSessions,
        issuer: TokenIssuer,
        clock: Clock,
    ) -> None:
        self._faults = faults
        self._log = log
        self._accounts = accounts
        self._sessions = sessions
        self._issuer = issuer
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return the routes, relative to `/_sandbox`."""
        endpoints: list[tuple[str, str, Endpoint]] = [
            ("GET", "/callers", self._list_callers),
            ("GET", "/faults", self._list_faults),
            ("POST", "/faults", self._add_fault),
            ("DELETE", "/faults", self._heal),
            ("GET", "/calls", self._list_calls),
            ("DELETE", "/calls", self._clear_calls),
            ("POST", "/jobs", self._start_job),
            ("DELETE", "/jobs", self._remove_job),
            ("POST", "/tokens", self._issue_token),
            ("POST", "/keys/rotate", self._rotate_keys),
        ]
        return [
            Route(path, _json_endpoint(endpoint), methods=[method])
            for method, path, endpoint in endpoints
        ]

    async def _list_callers(self, _request: Request) -> object:
        users = [
            {"name": user.name, "role_arn": user.role_arn, "claims": user.claims}
            for user in USERS.values()
        ]
        return {"callers": [_caller(caller) for caller in CALLERS.values()], "people": users}

    async def _list_faults(self, _request: Request) -> object:
        known = [
            {"fault": fault.name, "description": fault.description, "settings": fault.defaults}
            for fault in FAULTS.values()
        ]
        return {"active": self._faults.describe(), "known": known}

    async def _add_fault(self, request: Request) -> object:
        body = await _read_json(request)
        self._faults.add(parse_fault_request(body, self._sessions.access_key_ids()))
        return {"active": self._faults.describe()}

    async def _heal(self, request: Request) -> object:
        name = request.query_params.get("fault")
        if name is not None and name not in FAULTS:
            raise ControlRequestError(f"fault is {name!r}. Accepted: {', '.join(sorted(FAULTS))}.")
        return {"healed": self._faults.heal(name)}

    async def _list_calls(self, _request: Request) -> object:
        return {"calls": self._log.describe()}

    async def _clear_calls(self, _request: Request) -> object:
        return {"forgotten": self._log.clear()}

    async def _start_job(self, request: Request) -> object:
        account = self._account(await _read_json(request))
        job = account.generation_jobs.start(unix_ms(self._clock()))
        return {"audienceGenerationJobArn": job.fixed["audienceGenerationJobArn"]}

    async def _remove_job(self, request: Request) -> object:
        body = await _read_json(request)
        account = self._account(body)
        arn = body.get("audienceGenerationJobArn")
        if not isinstance(arn, str) or not account.generation_jobs.remove(arn):
            message = f"audienceGenerationJobArn is {arn!r}. Accepted: the ARN of an existing job."
            raise ControlRequestError(message)
        return {"removed": arn}

    def _account(self, body: Mapping[str, object]) -> Account:
        account_ids = {caller.access_key_id: caller.account_id for caller in CALLERS.values()}
        key_id, region = body.get("access_key_id"), body.get("region", _DEFAULT_REGION)
        if not isinstance(key_id, str) or key_id not in account_ids:
            accepted = ", ".join(sorted(account_ids))
            raise ControlRequestError(f"access_key_id is {key_id!r}. Accepted: {accepted}.")
        if not isinstance(region, str):
            raise ControlRequestError(f"region is {region!r}. Accepted: text such as us-east-1.")
        return self._accounts.get(account_ids[key_id], region)

    async def _issue_token(self, request: Request) -> object:
        token_request = _parse_token_request(await _read_json(request))
        token, expires_at = self._issuer.issue(token_request, issuer_url(request))
        return {"token": token, "expires_at": expires_at}

    async def _rotate_keys(self, _request: Request) -> object:
        self._issuer.rotate_keys()
        return {"kids": [key["kid"] for key in self._issuer.public_keys()]}


def _caller(caller: SandboxCaller) -> dict[str, object]:
    return {name: value for name, value in asdict(caller).items() if name != "role"}


def _json_endpoint(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        status: int = HTTPStatus.OK
        try:
            _check_sender(request)
            content = await endpoint(request)
        except ControlRequestError as error:
            status, content = error.status, {"message": str(error)}
        return Response(orjson.dumps(content), status, media_type="application/json")

    return respond


def _check_sender(request: Request) -> None:
    """Reject what a page can have a browser send without the consent of the server."""
    if request.headers.get("sec-fetch-site") == "cross-site":
        message = "A page of another site sent the request. Accepted: requests of programs."
        raise ControlRequestError(message, HTTPStatus.FORBIDDEN)
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json" and (media or request.method == "POST"):
        message = "The Content-Type is not supported. Accepted: application/json."
        raise ControlRequestError(message, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


async def _read_json(request: Request) -> dict[str, object]:
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        message = 'The body is invalid. Accepted: a JSON object such as {"fault": "throttle"}.'
        raise ControlRequestError(message)
    return body


def _parse_token_request(body: Mapping[str, object]) -> TokenRequest:
    members = sorted(member.name for member in fields(TokenRequest))
    unknown = sorted(body.keys() - set(members))
    if unknown:
        message = f"A token has no parameter {unknown[0]!r}. Accepted: {', '.join(members)}."
        raise ControlRequestError(message)
    checks = {
        "subject": (_is_printable, "printable text such as ada"),
        "audience": (_is_printable, "printable text such as audience-gateway"),
        "algorithm": (ALGORITHMS.__contains__, ", ".join(ALGORITHMS)),
        "seconds": (_is_token_lifetime, "a whole number, at most ten years"),
        "claims": (_is_json_object, 'an object of valid JSON such as {"groups": ["eu"]}'),
    }
    for name, value in {"subject": None, **body}.items():
        is_valid, accepted = checks[name]
        if not is_valid(value):
            raise ControlRequestError(f"{name} is {value!r}. Accepted: {accepted}.")
    return TokenRequest(**body)  # type: ignore[arg-type]  # checked above


def _is_printable(value: object) -> bool:
    return isinstance(value, str) and value != "" and value.isprintable()


def _is_token_lifetime(value: object) -> bool:
    # Negative for a token that has already expired.
    return type(value) is int and abs(value) <= _MAX_TOKEN_SECONDS


def _is_json_object(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        return False
    return isinstance(value, dict)
