"""The sandbox as an ASGI application: the API, STS, the OIDC issuer and the control API."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.sandbox.api.model import ApiError, access_denied, read_inputs, unix_ms
from gateway.sandbox.api.operations import (
    ApiCall,
    ApiResponse,
    CallLog,
    Clock,
    DataService,
    LoggedCall,
    find_operation,
    json_error,
)
from gateway.sandbox.auth.issuer import TokenIssuer, issuer_documents
from gateway.sandbox.auth.signatures import SignatureVerifier, parse_authorization
from gateway.sandbox.auth.sts import SandboxSessions, StsService
from gateway.sandbox.control import ControlApi
from gateway.sandbox.data.accounts import CALLERS, DEFAULT_SEED, Accounts
from gateway.sandbox.faults.effects import NoResponseError
from gateway.sandbox.faults.registry import ActiveFault, ActiveFaults
from gateway.sandbox.hosts import MISDIRECTED_REQUEST, AllowedHosts, AllowedHostsMiddleware


def utcnow() -> datetime:
    return datetime.now(UTC)


def create_sandbox(
    *,
    clock: Clock = utcnow,
    seed: int = DEFAULT_SEED,
    jobs: int | None = None,
    signing_clock: Clock = utcnow,
    faults: Iterable[ActiveFault] = (),
) -> Starlette:
    """Create a sandbox with its own data and faults.

    Args:
        clock: The time of the data, whose history ends when the sandbox is created.
        seed: Determines the data.
        jobs: The number of ada's jobs.
        signing_clock: The time of signatures, ID tokens and sessions, since clients use real time.
        faults: The faults that are on from the start.
    """
    accounts = Accounts(seed, unix_ms(clock()), jobs)
    active, log, sessions = ActiveFaults(faults), CallLog(seed), SandboxSessions(seed)
    issuer = TokenIssuer(signing_clock)
    verifier = SignatureVerifier(sessions, signing_clock)
    api = CleanRoomsService(DataService(accounts, clock), verifier, active)
    sts = StsService(issuer, sessions, active, signing_clock)
    control = ControlApi(
        faults=active,
        log=log,
        accounts=accounts,
        sessions=sessions,
        issuer=issuer,
        clock=clock,
    )

    def logged(service: Service) -> ASGIApp:
        return CallLogMiddleware(service, log)

    documents = issuer_documents(issuer, active).items()
    return Starlette(
        routes=[
            Mount("/_sandbox", routes=control.routes()),
            *(Route(path, logged(document), methods=["GET"]) for path, document in documents),
            Route("/", logged(sts), methods=["POST"]),
            Mount("/", app=logged(api)),
        ]
    )


def restrict_hosts(sandbox: ASGIApp, hosts: AllowedHosts) -> ASGIApp:
    """Return a sandbox that responds with 421 to a request for another host."""
    return AllowedHostsMiddleware(
        sandbox, hosts, JSONResponse({"message": hosts.rejection}, MISDIRECTED_REQUEST)
    )


class Service(Protocol):
    """An emulated service."""

    async def handle(self, request: Request, call: LoggedCall) -> ApiResponse:
        """Handle a request, and complete its entry in the log.

        Raises ApiError if the service returns an error, NoResponseError if the connection is to
        be closed.
        """

    def error_response(self, error: ApiError, call: LoggedCall, /) -> ApiResponse:
        """Return an error in the protocol of the service."""


class CleanRoomsService:
    """The emulated API: signed requests in REST-JSON."""

    def __init__(
        self, data: DataService, verifier: SignatureVerifier, faults: ActiveFaults
    ) -> None:
        self._data = data
        self._verifier = verifier
        self._faults = faults

    async def handle(self, request: Request, call: LoggedCall) -> ApiResponse:
        raw_path = request.scope["raw_path"].decode("latin-1")
        call.operation, path_inputs = find_operation(request.method, raw_path)
        call.parameters = {**path_inputs, **call.parameters}
        authorization = parse_authorization(request.headers.get("authorization"))
        call.access_key_id, call.region = authorization.access_key_id, authorization.region
        session = await self._verifier.verify(authorization, request)
        caller = session.caller
        if caller == CALLERS["denied"] or not session.policy.allows(call.operation):
            raise access_denied(caller.arn, call.operation)
        inputs = read_inputs(call.operation, path_inputs, _query(request))
        call.parameters = inputs
        api_call = ApiCall(call.operation, inputs, caller, authorization.region, request.receive)
        return await self._faults.handle(api_call, self._data.handle)

    def error_response(self, error: ApiError, _call: LoggedCall) -> ApiResponse:
        return json_error(error)


class CallLogMiddleware:
    """Serves a service over ASGI, logs each call, and gives it a request id.

    A class, because Starlette would pass a Request to a function.
    """

    def __init__(self, service: Service, log: CallLog) -> None:
        self._service = service
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await request.body()
        call = self._log.start(dict(parse_qsl(_query(request), keep_blank_values=True)))
        try:
            response = await self._service.handle(request, call)
        except ApiError as error:
            response = self._service.error_response(error, call)
        except NoResponseError:
            return
        call.status = response.status
        await _http_response(response, call.request_id)(scope, receive, send)


def _query(request: Request) -> str:
    return str(request.scope["query_string"].decode("latin-1"))


def _http_response(response: ApiResponse, request_id: str) -> Response:
    headers = {"x-amzn-RequestId": request_id, **response.headers}
    if response.stream is None:
        return Response(response.body, response.status, headers, response.media_type)
    chunks = response.stream(response.body)
    return StreamingResponse(chunks, response.status, headers, response.media_type)
