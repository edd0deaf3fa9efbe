"""STS: exchanges ID tokens for sessions, which a policy can restrict."""

import json
import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import translate
from html import escape
from http import HTTPStatus
from math import ceil
from urllib.parse import parse_qsl

from botocore.model import ListShape, Shape, StructureShape
from starlette.requests import Request

from gateway.sandbox.api.model import (
    ASSUME_ROLE,
    STS,
    ApiError,
    Inputs,
    input_shape,
    not_authorized,
    service_model,
    validate_inputs,
    validation_error,
)
from gateway.sandbox.api.operations import ApiCall, ApiResponse, Clock, LoggedCall
from gateway.sandbox.auth.issuer import TokenIssuer, WebIdentity
from gateway.sandbox.data.accounts import ANONYMOUS, CALLERS, ROLE_NAME, USERS, SandboxCaller
from gateway.sandbox.data.resources import Seed
from gateway.sandbox.faults.registry import ActiveFaults

_DEFAULT_SECONDS = 3600
_MAX_POLICY_CHARACTERS = 2048
_ROLE_ARN = re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/[\w+=,.@/-]+", re.ASCII)
_ACCOUNT_IDS = {user.role_arn: user.account_id for user in USERS.values()}

_POLICY_VERSIONS = (None, "2012-10-17", "2008-10-17")
_ACTION = re.compile(r"\*|[\w-]+:[\w*?]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class PolicyStatement:
    """A statement; resources and conditions are ignored."""

    allows: bool
    actions: re.Pattern[str]
    negated: bool

    def applies_to(self, action: str) -> bool:
        return bool(self.actions.fullmatch(action)) != self.negated


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """A session policy; without statements it does not restrict anything."""

    statements: tuple[PolicyStatement, ...] = ()

    def allows(self, operation: str) -> bool:
        """Whether a statement allows the operation, and none denies it."""
        action = f"cleanrooms-ml:{operation}"
        effects = {each.allows for each in self.statements if each.applies_to(action)}
        return effects == {True} or not self.statements


UNRESTRICTED = SessionPolicy()


def parse_policy(text: str) -> SessionPolicy:
    """Parse a policy document.

    Raises ApiError with the code and message of STS if the document is malformed.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise _malformed_policy("The policy is not in the valid JSON format.") from None
    if not isinstance(document, dict) or document.get("Version") not in _POLICY_VERSIONS:
        raise _malformed_policy("Syntax errors in policy.")
    statements = tuple(map(_statement, _as_list(document.get("Statement"))))
    if not statements:
        raise _malformed_policy("Syntax errors in policy.")
    return SessionPolicy(statements)


def _statement(statement: object) -> PolicyStatement:
    if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
        raise _malformed_policy("Syntax errors in policy.")
    if ("Action" in statement) == ("NotAction" in statement):
        raise _malformed_policy("Policy statement must contain actions.")
    if ("Resource" in statement) == ("NotResource" in statement):
        raise _malformed_policy("Policy statement must contain resources.")
    negated = "NotAction" in statement
    patterns = "|".join(_action_patterns(statement["NotAction" if negated else "Action"]))
    actions = re.compile(patterns, re.IGNORECASE)
    return PolicyStatement(statement["Effect"] == "Allow", actions, negated)


def _action_patterns(actions: object) -> Iterator[str]:
    for action in _as_list(actions):
        if not isinstance(action, str) or not _ACTION.fullmatch(action):
            message = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2"
            raise _malformed_policy(message)
        yield translate(action)


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _malformed_policy(message: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, "MalformedPolicyDocument", message)


@dataclass(frozen=True, slots=True)
class SandboxSession:
    """A key pair with its expiration, if any, and its policy."""

    caller: SandboxCaller
    expiration: datetime | None = None
    policy: SessionPolicy = UNRESTRICTED

    def has_expired(self, now: datetime) -> bool:
        return self.expiration is not None and now >= self.expiration


class SandboxSessions:
    """The sessions of the fixed callers, and the most recent `limit` ones that STS created."""

    _KEY_CHARACTERS = string.ascii_uppercase + "234567"
    # Real secrets and tokens are base64, so they contain the characters that need encoding.
    _SECRET_CHARACTERS = string.ascii_letters + string.digits + "+/"
    _TOKEN_LENGTH = 400

    def __init__(self, seed: int, limit: int = 20_000) -> None:
        self._seed = seed
        self._limit = limit
        self._created = 0
        self._temporary: dict[str, SandboxSession] = {}
        self._fixed = {each.access_key_id: SandboxSession(each) for each in CALLERS.values()}
        expired = CALLERS["expired"]
        start = datetime.min.replace(tzinfo=UTC)
        self._fixed[expired.access_key_id] = SandboxSession(expired, start)

    def find(self, access_key_id: str) -> SandboxSession | None:
        return self._fixed.get(access_key_id) or self._temporary.get(access_key_id)

    def access_key_ids(self) -> list[str]:
        return [*self._fixed, *self._temporary]

    def create(
        self, account_id: str, name: str, expiration: datetime, policy: SessionPolicy
    ) -> SandboxSession:
        """Create a session of the role of an account."""
        self._created += 1
        # Derived from all properties, so that after a restart no key belongs to another session.
        seed = Seed(self._seed, account_id)
        rng = seed.random("session", ROLE_NAME, name, expiration.isoformat(), self._created)
        token = "".join(rng.choices(self._SECRET_CHARACTERS, k=self._TOKEN_LENGTH))
        caller = SandboxCaller(
            name=name,
            account_id=account_id,
            access_key_id="ASIA" + "".join(rng.choices(self._KEY_CHARACTERS, k=16)),
            secret_access_key="".join(rng.choices(self._SECRET_CHARACTERS, k=40)),
            session_token=f"IQoJb3JpZ2luX2VjE{token}==",
            note="a temporary session",
            role=ROLE_NAME,
        )
        session = SandboxSession(caller, expiration, policy)
        self._temporary[caller.access_key_id] = session
        if len(self._temporary) > self._limit:
            del self._temporary[next(iter(self._temporary))]
        return session


class StsService:
    """Handles AssumeRoleWithWebIdentity."""

    def __init__(
        self, issuer: TokenIssuer, sessions: SandboxSessions, faults: ActiveFaults, clock: Clock
    ) -> None:
        self._issuer = issuer
        self._sessions = sessions
        self._faults = faults
        self._clock = clock

    async def handle(self, request: Request, call: LoggedCall) -> ApiResponse:
        form = _parse_form(request.headers.get("content-type", ""), await request.body())
        call.parameters = _loggable(form)
        if form.get("Action") == ASSUME_ROLE:
            call.operation = ASSUME_ROLE
        inputs = _read_inputs(form)
        call.parameters = _loggable(inputs)

        async def respond(api_call: ApiCall) -> ApiResponse:
            return self._assume_role(api_call.inputs, call)

        api_call = ApiCall(ASSUME_ROLE, inputs, ANONYMOUS, "", request.receive)
        return await self._faults.handle(api_call, respond)

    def error_response(self, error: ApiError, call: LoggedCall) -> ApiResponse:
        status, code = _STS_ERRORS.get(error.code, (error.status, error.code))
        fault = "Sender" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "Receiver"
        content = {"Type": fault, "Code": code, "Message": error.message}
        body = _xml("ErrorResponse", {"Error": content, "RequestId": call.request_id})
        return ApiResponse(body, status, error.headers, "text/xml")

    def _assume_role(self, inputs: Inputs, call: LoggedCall) -> ApiResponse:
        role_arn, name = str(inputs["RoleArn"]), str(inputs["RoleSessionName"])
        if not _ROLE_ARN.fullmatch(role_arn):
            raise validation_error(f"{role_arn} is invalid")
        policy = parse_policy(str(inputs["Policy"])) if "Policy" in inputs else UNRESTRICTED
        identity = self._issuer.verify(str(inputs["WebIdentityToken"]))
        account_id = _ACCOUNT_IDS.get(role_arn)
        if account_id is None:
            raise not_authorized(f"sts:{ASSUME_ROLE}")
        duration = timedelta(seconds=int(inputs.get("DurationSeconds", _DEFAULT_SECONDS)))
        expiration = (self._clock() + duration).astimezone(UTC).replace(microsecond=0)
        caller = self._sessions.create(account_id, name, expiration, policy).caller
        call.access_key_id = caller.access_key_id
        content: dict[str, XmlContent] = {
            f"{ASSUME_ROLE}Result": _result(caller, expiration, identity, inputs),
            "ResponseMetadata": {"RequestId": call.request_id},
        }
        return ApiResponse(_xml(f"{ASSUME_ROLE}Response", content), media_type="text/xml")


def _parse_form(content_type: str, body: bytes) -> dict[str, str]:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        return {}
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _loggable(fields: Mapping[str, str | int]) -> dict[str, object]:
    hidden = {"webidentitytoken", "action", "version"}
    return {name: value for name, value in fields.items() if name.lower() not in hidden}


def _read_inputs(form: Mapping[str, str]) -> Inputs:
    if "Action" not in form:
        raise ApiError(HTTPStatus.BAD_REQUEST, "MissingAction", "The request names no Action.")
    action, version = form["Action"], form.get("Version")
    if action != ASSUME_ROLE or version != service_model(STS).api_version:
        message = f"Could not find operation {action} for version {version or 'NO_VERSION'}"
        raise ApiError(HTTPStatus.BAD_REQUEST, "InvalidAction", message)
    # Members of lists are separate fields, such as `PolicyArns.member.1.arn`.
    found = {name: _field_shape(input_shape(ASSUME_ROLE), name.split(".")) for name in form}
    shapes = {name: shape for name, shape in found.items() if shape is not None}
    return validate_inputs(ASSUME_ROLE, form, shapes, _camel_case)


def _field_shape(shape: Shape | None, path: list[str]) -> Shape | None:
    """Return the shape of a form field, or None for an unknown field, which AWS ignores."""
    if not path:
        return None if isinstance(shape, StructureShape | ListShape) else shape
    step, *rest = path
    if isinstance(shape, StructureShape):
        return _field_shape(shape.members.get(step), rest)
    if isinstance(shape, ListShape) and step == "member" and rest and rest[0].isdecimal():
        return _field_shape(shape.member, rest[1:])
    return None


def _camel_case(name: str) -> str:
    return ".".join(part[:1].lower() + part[1:] for part in name.split("."))


def _result(
    caller: SandboxCaller, expiration: datetime, identity: WebIdentity, inputs: Inputs
) -> "XmlContent":
    role_id = f"AROA{caller.account_id:X<17}"
    result: dict[str, XmlContent] = {
        "Credentials": {
            "AccessKeyId": caller.access_key_id,
            "SecretAccessKey": caller.secret_access_key,
            "SessionToken": caller.session_token or "",
            "Expiration": f"{expiration:%Y-%m-%dT%H:%M:%SZ}",
        },
        "SubjectFromWebIdentityToken": identity.subject,
        "AssumedRoleUser": {"AssumedRoleId": f"{role_id}:{caller.name}", "Arn": caller.arn},
        "Provider": identity.issuer,
        "Audience": identity.audience,
    }
    if "Policy" in inputs:
        percent = 100 * len(str(inputs["Policy"])) / _MAX_POLICY_CHARACTERS
        result["PackedPolicySize"] = ceil(percent)
    return result


XmlContent = Mapping[str, "XmlContent"] | str | int

_XML_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# The code of an error in REST-JSON -> its status and code in STS.
_STS_ERRORS = {
    "ValidationException": (HTTPStatus.BAD_REQUEST, "ValidationError"),
    "ThrottlingException": (HTTPStatus.BAD_REQUEST, "Throttling"),
    "AccessDeniedException": (HTTPStatus.FORBIDDEN, "AccessDenied"),
    "InternalServerException": (HTTPStatus.INTERNAL_SERVER_ERROR, "InternalFailure"),
    "ServiceUnavailableException": (HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailable"),
}


def _xml(name: str, content: XmlContent) -> bytes:
    return f'<{name} xmlns="{_XML_NAMESPACE}">{_xml_body(content)}</{name}>\n'.encode()


def _xml_body(content: XmlContent) -> str:
    if isinstance(content, Mapping):
        return "".join(f"<{name}>{_xml_body(part)}</{name}>" for name, part in content.items())
    return escape(_NOT_XML.sub("\ufffd", str(content)), quote=False)
