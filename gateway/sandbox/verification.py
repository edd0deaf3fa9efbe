"""Whether a request was signed by a caller of the sandbox, and by whom."""

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gateway.sandbox.authorization import Authorization
from gateway.sandbox.callers import SandboxCaller
from gateway.sandbox.policies import UNRESTRICTED, SessionPolicy
from gateway.sandbox.problems import RefusalError, expired_token, forbidden
from gateway.sandbox.sessions import Session, Sessions
from gateway.sandbox.signature import ReceivedRequest, ReceivedSigner, SigningKeys

Clock = Callable[[], datetime]

TOLERANCE = timedelta(minutes=15)
_REGION = re.compile(r"[a-z]{2}[-a-z0-9]{3,30}")
_TIMESTAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Identity:
    """A proven caller, and the region the signature was made for."""

    caller: SandboxCaller
    region: str
    policy: SessionPolicy = UNRESTRICTED


# Who asks where nothing has to be signed.
NOBODY = Identity(SandboxCaller("nobody", "", "", "", None, "unsigned calls"), "")


class Verifier:
    """Knows the key pairs and checks what they sign."""

    def __init__(self, sessions: Sessions, service: str, clock: Clock) -> None:
        self._sessions = sessions
        self._service = service
        self._clock = clock
        self._signing_keys = SigningKeys()

    def verify(self, claim: Authorization, request: ReceivedRequest) -> Identity:
        """Give the caller, or refuse with AWS's own error."""
        session = self._session(claim, request)
        self._check_scope(claim)
        self._check_date(claim, request.header("x-amz-date"))
        _check_headers(claim, request)
        payload_hash = request.payload_hash()
        if payload_hash is None:
            raise _mismatch("The provided 'x-amz-content-sha256' is not the body's.")
        signer = ReceivedSigner(session.caller.secret_access_key, claim, self._signing_keys)
        if not _same(signer.expected(request, payload_hash), claim.signature):
            raise _mismatch(
                "The request signature we calculated does not match the signature you provided. "
                "Check your AWS Secret Access Key and signing method."
            )
        return Identity(session.caller, claim.region, session.policy)

    def _session(self, claim: Authorization, request: ReceivedRequest) -> Session:
        session = self._sessions.find(claim.access_key_id)
        token = request.header("x-amz-security-token") or ""
        if session is None or not _same(session.caller.session_token or "", token):
            message = "The security token included in the request is invalid."
            raise forbidden("UnrecognizedClientException", message)
        if session.is_over(self._clock()):
            raise expired_token()
        return session

    def _check_scope(self, claim: Authorization) -> None:
        if claim.service != self._service:
            raise _mismatch(f"Credential should be scoped to correct service: '{self._service}'.")
        if not _REGION.fullmatch(claim.region):
            raise _mismatch("Credential should be scoped to a valid region.")

    def _check_date(self, claim: Authorization, text: str | None) -> None:
        try:
            signed = datetime.strptime(text or "", _TIMESTAMP).replace(tzinfo=UTC)
        except ValueError:
            message = "Authorization header requires existence of an 'X-Amz-Date' header."
            raise forbidden("IncompleteSignatureException", message) from None
        if claim.date != f"{signed:%Y%m%d}":
            raise _mismatch("Date in Credential scope does not match the 'X-Amz-Date' header.")
        now = self._clock()
        if signed < now - TOLERANCE:
            raise _mismatch(f"Signature expired: {text} is now earlier than 15 minutes ago.")
        if signed > now + TOLERANCE:
            raise _mismatch(f"Signature not yet current: {text} is over 15 minutes ahead.")


def _check_headers(claim: Authorization, request: ReceivedRequest) -> None:
    sent = {name for name, _ in request.headers}
    needed = {"host"} | {name for name in sent if name.startswith("x-amz-")}
    unsigned = sorted(needed - claim.signed_headers)
    if unsigned:
        raise _mismatch(f"'{unsigned[0]}' must be a 'SignedHeader' in the Authorization header.")
    absent = sorted(claim.signed_headers - sent)
    if absent:
        raise _mismatch(f"The signed header '{absent[0]}' is not in the request.")


def _mismatch(message: str) -> RefusalError:
    return forbidden("InvalidSignatureException", message)


def _same(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode())
