"""The Signature Version 4 that a received request should carry, by botocore's own signer."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from hmac import digest
from http.client import HTTPMessage

from botocore.auth import UNSIGNED_PAYLOAD, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway.sandbox.authorization import Authorization

_KEPT_KEYS = 1024


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request as it came over the wire: nothing in it is decoded, header names are lower case."""

    method: str
    scheme: str
    raw_path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """Give the first value of a header."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def origin(self) -> str:
        """The address that the request was sent to, as its sender wrote it."""
        return f"{self.scheme}://{self.header('host') or 'localhost'}"

    def payload_hash(self) -> str | None:
        """Give the hash that was signed, or None if the body is not the one it was made of."""
        actual = sha256(self.body).hexdigest()
        claimed = self.header("x-amz-content-sha256")
        return claimed or actual if claimed in {None, actual, UNSIGNED_PAYLOAD} else None


class SigningKeys:
    """Derived signing keys, which are good for a day and cost four HMACs each."""

    def __init__(self) -> None:
        self._keys: dict[tuple[str, str, str, str], bytes] = {}

    def derive(self, secret: str, date: str, region: str, service: str) -> bytes:
        """Give the key for one secret and scope."""
        wanted = (secret, date, region, service)
        key = self._keys.get(wanted)
        if key is None:
            key = f"AWS4{secret}".encode()
            for part in (date, region, service, "aws4_request"):
                key = digest(key, part.encode(), "sha256")
            if len(self._keys) >= _KEPT_KEYS:
                self._keys.clear()
            self._keys[wanted] = key
        return key


class ReceivedSigner(SigV4Auth):
    """botocore's signer, told to sign what the sender signed and nothing else."""

    def __init__(self, secret: str, claim: Authorization, keys: SigningKeys) -> None:
        super().__init__(Credentials(claim.access_key_id, secret), claim.service, claim.region)
        self._keys = keys
        self._secret = secret
        self._claim = claim

    def headers_to_sign(self, request: AWSRequest) -> HTTPMessage:
        """Take every header: the sender's choice was made before."""
        return request.headers

    def payload(self, request: AWSRequest) -> str:
        """Give the hash that `expected` found right."""
        return str(request.context["payload_hash"])

    def signature(self, string_to_sign: str, request: AWSRequest) -> str:  # noqa: ARG002 - botocore's signature
        """Sign with a kept key instead of deriving it again."""
        scope = (self._claim.date, self._claim.region, self._claim.service)
        key = self._keys.derive(self._secret, *scope)
        return digest(key, string_to_sign.encode(), "sha256").hex()

    def expected(self, received: ReceivedRequest, payload_hash: str) -> str:
        """Give the signature the request must carry."""
        url = f"http://{received.header('host')}{received.raw_path}"
        request = AWSRequest(
            method=received.method, url=f"{url}?{received.query}" if received.query else url
        )
        for name, value in self._signed(received.headers):
            request.headers[name] = value
        request.context["timestamp"] = received.header("x-amz-date")
        request.context["payload_hash"] = payload_hash
        return self.signature(
            self.string_to_sign(request, self.canonical_request(request)), request
        )

    def _signed(self, headers: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
        return (header for header in headers if header[0] in self._claim.signed_headers)
