"""The control API under `/_sandbox/`, unsigned: faults, the call log, jobs, tokens and keys."""

import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.sandbox.api.model import unix_ms
from gateway.sandbox.api.operations import CallLog, Clock
from gateway.sandbox.auth.issuer import ALGORITHMS, TokenIssuer, TokenRequest, issuer_url
from gateway.sandbox.auth.sts import SandboxSessions
from gateway.sandbox.data.accounts import CALLERS, USERS, Account, Accounts, SandboxCaller
from gateway.sandbox.data.jobs import FINAL_STATUSES, JOB_STATUSES, MAX_JOB_SECONDS
from gateway.sandbox.faults.registry import (
    FAULTS,
    ActiveFaults,
    ControlRequestError,
    parse_fault_request,
)

_DEFAULT_REGION = "us-east-1"
_MAX_TOKEN_SECONDS = 10 * 365 * 86_400
_ACCOUNT_IDS = {caller.access_key_id: caller.account_id for caller in CALLERS.values()}

Endpoint = Callable[[Request], Awaitable[object]]
Check = tuple[Callable[[object], bool], str]
"""Tells whether the member of a body is valid, and the words for what is accepted."""


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
            ("POST", "/jobs/status", self._set_job_status),
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
        body = await _read_members(request, "A new job", _NEW_JOB_MEMBERS, ["access_key_id"])
        options = {name: body[name] for name in body.keys() & {"seconds", "final_status"}}
        job = self._account(body).generation_jobs.start(unix_ms(self._clock()), **options)
        return {"audienceGenerationJobArn": job.fixed["audienceGenerationJobArn"]}

    async def _remove_job(self, request: Request) -> object:
        body = await _read_members(
            request, "The removal of a job", _REMOVAL_MEMBERS, _REMOVAL_REQUIRED
        )
        arn = body["audienceGenerationJobArn"]
        if not self._account(body).generation_jobs.remove(arn):
            raise _no_such_job(arn)
        return {"removed": arn}

    async def _set_job_status(self, request: Request) -> object:
        body = await _read_members(request, "The status of a job", _STATUS_MEMBERS, _STATUS_MEMBERS)
        arn, now_ms = body["audienceGenerationJobArn"], unix_ms(self._clock())
        account = self._accounts.owner(arn)
        previous = account and account.generation_jobs.set_status(arn, body["status"], now_ms)
        if previous is None:
            raise _no_such_job(arn)
        return {"previous_status": previous, "status": body["status"]}

    def _account(self, body: Mapping[str, Any]) -> Account:
        account_id = _ACCOUNT_IDS[body["access_key_id"]]
        return self._accounts.get(account_id, body.get("region", _DEFAULT_REGION))

    async def _issue_token(self, request: Request) -> object:
        body = await _read_members(request, "A token", _TOKEN_MEMBERS, ["subject"])
        token, expires_at = self._issuer.issue(TokenRequest(**body), issuer_url(request))
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


async def _read_members(
    request: Request, subject: str, checks: Mapping[str, Check], required: Iterable[str]
) -> dict[str, Any]:
    """Return a body whose members are all known and valid."""
    body = await _read_json(request)
    unknown = sorted(body.keys() - checks.keys())
    if unknown:
        accepted = ", ".join(sorted(checks))
        raise ControlRequestError(
            f"{subject} has no parameter {unknown[0]!r}. Accepted: {accepted}."
        )
    for name, value in {**dict.fromkeys(required), **body}.items():
        is_valid, accepted = checks[name]
        if not is_valid(value):
            raise ControlRequestError(f"{name} is {value!r}. Accepted: {accepted}.")
    return body


def _no_such_job(arn: object) -> ControlRequestError:
    accepted = _JOB_ARN[1]
    return ControlRequestError(f"audienceGenerationJobArn is {arn!r}. Accepted: {accepted}.")


def _is_job_duration(value: object) -> bool:
    return type(value) is int and 1 <= value <= MAX_JOB_SECONDS


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


def _one_of(accepted: Collection[str]) -> Check:
    return accepted.__contains__, ", ".join(accepted)


_JOB_ARN: Check = (_is_printable, "the ARN of an existing job")
_ACCOUNT_MEMBERS = {
    "access_key_id": _one_of(sorted(_ACCOUNT_IDS)),
    "region": (_is_printable, "text such as us-east-1"),
}
_NEW_JOB_MEMBERS = {
    **_ACCOUNT_MEMBERS,
    "seconds": (_is_job_duration, f"a whole number from 1 to {MAX_JOB_SECONDS}"),
    "final_status": _one_of(FINAL_STATUSES),
}
_REMOVAL_REQUIRED = ("access_key_id", "audienceGenerationJobArn")
_REMOVAL_MEMBERS = {**_ACCOUNT_MEMBERS, "audienceGenerationJobArn": _JOB_ARN}
_STATUS_MEMBERS = {"audienceGenerationJobArn": _JOB_ARN, "status": _one_of(JOB_STATUSES)}
_TOKEN_MEMBERS = {
    "subject": (_is_printable, "printable text such as ada"),
    "audience": (_is_printable, "printable text such as audience-gateway"),
    "algorithm": _one_of(ALGORITHMS),
    "seconds": (_is_token_lifetime, "a whole number, at most ten years"),
    "claims": (_is_json_object, 'an object of valid JSON such as {"groups": ["eu"]}'),
}
