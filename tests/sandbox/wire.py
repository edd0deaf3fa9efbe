"""Raw HTTP requests to a sandbox, signed by botocore or unsigned."""

import json
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway.sandbox import CALLERS, SandboxCaller

JOBS = "/audience-generation-job"
DISCOVERY = "/oidc/.well-known/openid-configuration"
JWKS = "/oidc/jwks"


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str | None]:
        """The status and the AWS error code."""
        return self.status, self.headers.get("x-amzn-errortype")


def send(
    url: str,
    target: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
) -> Reply:
    """Send a request without normalising its target."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        connection.request(method, target, body=body, headers=headers or {})
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, names, response.read())
    finally:
        connection.close()


def sign(
    url: str,
    target: str,
    caller: SandboxCaller = CALLERS["ada"],
    *,
    region: str = "us-east-1",
    service: str = "cleanrooms-ml",
) -> dict[str, str]:
    """Return the headers of a signed GET."""
    credentials = Credentials(caller.access_key_id, caller.secret_access_key, caller.session_token)
    request = AWSRequest("GET", url + target, headers={"host": urlsplit(url).netloc})
    SigV4Auth(credentials, service, region).add_auth(request)
    return dict(request.headers.items())


def get(url: str, target: str, caller: SandboxCaller = CALLERS["ada"], **query: str) -> Reply:
    """Send a signed GET."""
    if query:
        target = f"{target}?{urlencode(query)}"
    return send(url, target, headers=sign(url, target, caller))


def control(url: str, method: str, path: str, body: object = None) -> Reply:
    """Send a request to the control API."""
    content = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    return send(url, f"/_sandbox{path}", method=method, headers=headers, body=content)


def switch_on(url: str, fault: str, **parameters: object) -> None:
    reply = control(url, "POST", "/faults", {"fault": fault, **parameters})
    assert reply.status == 200, reply.body


def logged_calls(url: str) -> list[Any]:
    calls: list[Any] = control(url, "GET", "/calls").json()["calls"]
    return calls
