"""Verification of Signature Version 4, with botocore's own signer."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest, digest
from http.client import HTTPMessage

from botocore.auth import UNSIGNED_PAYLOAD, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from starlette.requests import Request

from gateway.sandbox.api.model import ApiError, credentials_expired, forbidden, service_model
from gateway.sandbox.api.operations import Clock
from gateway.sandbox.auth.sts import SandboxSession, SandboxSessions

_TOLERANCE = timedelta(minutes=15)
_REGION = re.compile(r"[a-z]{2}[-a-z0-9]{3,30}")
_TIMESTAMP = "%Y%m%dT%H%M%SZ"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256\s+"
    r"Credential=(?P<access_key_id>\w+)/(?P<date>\d{8})/(?P<region>[^/,\s]+)"
    r"/(?P<service>[^/,\s]+)/aws4_request\s*,\s*"
    r"SignedHeaders=(?P<signed_headers>[!-+\--~]+)\s*,\s*"
    r"Signature=(?P<signature>[0-9a-f]{64})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class SigV4Authorization:
    """The parts of an Authorization header, not yet verified."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: frozenset[str]
    signature: str


def parse_authorization(header: str | None) -> SigV4Authorization:
    """Split an Authorization header.

    Raises ApiError if there is none, or it is not a complete signature.
    """
    if header is None:
        raise forbidden("MissingAuthenticationTokenException", "Missing Authentication Token")
    match = _AUTHORIZATION.fullmatch(header.strip())
    if match is None:
        message = "The Authorization header is not a complete AWS4-HMAC-SHA256 signature."
        raise forbidden("IncompleteSignatureException", message)
    parts = match.groupdict()
    signed_headers = frozenset(parts.pop("signed_headers").split(";"))
    return SigV4Authorization(**parts, signed_headers=signed_headers)


class SignatureVerifier:
    """Verifies signatures against the sessions, by the clock."""

    def __init__(self, sessions: SandboxSessions, clock: Clock) -> None:
        self._sessions = sessions
        self._service = service_model().signing_name
        self._clock = clock

    async def verify(self, authorization: SigV4Authorization, request: Request) -> SandboxSession:
        """Return the session whose key signed the request.

        Raises ApiError with the code and message of AWS if the signature is invalid.
        """
        session = self._session(authorization, request)
        self._check_scope(authorization)
        self._check_date(authorization, request.headers.get("x-amz-date"))
        _check_headers(authorization, request)
        payload_hash = _payload_hash(request, await request.body())
        if payload_hash is None:
            raise _invalid_signature("The provided 'x-amz-content-sha256' is not the body's.")
        signer = _RequestSigner(session.caller.secret_access_key, authorization)
        if not _equal(signer.sign(request, payload_hash), authorization.signature):
            raise _invalid_signature(
                "The request signature we calculated does not match the signature you provided. "
                "Check your AWS Secret Access Key and signing method."
            )
        return session

    def _session(self, authorization: SigV4Authorization, request: Request) -> SandboxSession:
        session = self._sessions.find(authorization.access_key_id)
        token = request.headers.get("x-amz-security-token", "")
        if session is None or not _equal(session.caller.session_token or "", token):
            message = "The security token included in the request is invalid."
            raise forbidden("UnrecognizedClientException", message)
        if session.has_expired(self._clock()):
            raise credentials_expired()
        return session

    def _check_scope(self, authorization: SigV4Authorization) -> None:
        if authorization.service != self._service:
            message = f"Credential should be scoped to correct service: '{self._service}'."
            raise _invalid_signature(message)
        if not _REGION.fullmatch(authorization.region):
            raise _invalid_signature("Credential should be scoped to a valid region.")

    def _check_date(self, authorization: SigV4Authorization, header: str | None) -> None:
        try:
            signed = datetime.strptime(header or "", _TIMESTAMP).replace(tzinfo=UTC)
        except ValueError:
            message = "Authorization header requires existence of an 'X-Amz-Date' header."
            raise forbidden("IncompleteSignatureException", message) from None
        if authorization.date != f"{signed:%Y%m%d}":
            message = "Date in Credential scope does not match the 'X-Amz-Date' header."
            raise _invalid_signature(message)
        now = self._clock()
        if signed < now - _TOLERANCE:
            message = f"Signature expired: {header} is now earlier than 15 minutes ago."
            raise _invalid_signature(message)
        if signed > now + _TOLERANCE:
            message = f"Signature not yet current: {header} is over 15 minutes ahead."
            raise _invalid_signature(message)


def _check_headers(authorization: SigV4Authorization, request: Request) -> None:
    sent = set(request.headers.keys())
    required = {"host"} | {name for name in sent if name.startswith("x-amz-")}
    unsigned = sorted(required - authorization.signed_headers)
    if unsigned:
        message = f"'{unsigned[0]}' must be a 'SignedHeader' in the Authorization header."
        raise _invalid_signature(message)
    absent = sorted(authorization.signed_headers - sent)
    if absent:
        raise _invalid_signature(f"The signed header '{absent[0]}' is not in the request.")


def _payload_hash(request: Request, body: bytes) -> str | None:
    """Return the signed hash of the body, or None if the body has another."""
    actual = sha256(body).hexdigest()
    claimed = request.headers.get("x-amz-content-sha256")
    return claimed or actual if claimed in {None, actual, UNSIGNED_PAYLOAD} else None


@lru_cache(1024)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """Derive the key for a scope. Cached, since it takes four HMACs and is valid for a day."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = digest(key, part.encode(), "sha256")
    return key


class _RequestSigner(SigV4Auth):
    """Signs a received request exactly as its sender should have."""

    def __init__(self, secret: str, authorization: SigV4Authorization) -> None:
        credentials = Credentials(authorization.access_key_id, secret)
        super().__init__(credentials, authorization.service, authorization.region)
        self._secret = secret
        self._authorization = authorization

    def headers_to_sign(self, request: AWSRequest) -> HTTPMessage:
        # `sign` has added the signed headers only.
        return request.headers

    def payload(self, request: AWSRequest) -> str:
        return str(request.context["payload_hash"])

    def signature(self, string_to_sign: str, request: AWSRequest) -> str:  # noqa: ARG002  botocore's signature
        scope = self._authorization
        key = _signing_key(self._secret, scope.date, scope.region, scope.service)
        return digest(key, string_to_sign.encode(), "sha256").hex()

    def sign(self, request: Request, payload_hash: str) -> str:
        """Return the signature that the request must have."""
        headers = request.headers
        query = request.scope["query_string"].decode("latin-1")
        url = f"http://{headers.get('host')}{request.scope['raw_path'].decode('latin-1')}"
        signed = AWSRequest(method=request.method, url=f"{url}?{query}" if query else url)
        for name, value in headers.items():
            if name in self._authorization.signed_headers:
                signed.headers[name] = value
        signed.context["timestamp"] = headers.get("x-amz-date")
        signed.context["payload_hash"] = payload_hash
        return self.signature(self.string_to_sign(signed, self.canonical_request(signed)), signed)


def _invalid_signature(message: str) -> ApiError:
    return forbidden("InvalidSignatureException", message)


def _equal(expected: str, received: str) -> bool:
    return compare_digest(expected.encode(), received.encode())
