"""A gateway in front of a sandbox, both served over real HTTP, and a client for each."""

import contextlib
import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.applications import Starlette

from gateway.app import create_app
from gateway.dev import aws_headers
from gateway.sandbox import CALLERS, create_sandbox
from gateway.server.protocol import HardenedProtocol
from gateway.settings import Settings
from tests.clock import DateClock
from tests.processes import CACHE_SECONDS
from tests.serving import serve

GRAPHQL = "application/graphql-response+json"
TIMEOUT_SECONDS = 60.0

TLS = ssl.create_default_context()
"""One for all requests: httpx would load the CA certificates for each, which takes 30 ms."""


def http(method: str, url: str, **options: Any) -> httpx.Response:
    """Send a request, and wait for the response as long as slow machines need.

    httpx by itself waits for 5 seconds.
    """
    return httpx.request(method, url, **{"timeout": TIMEOUT_SECONDS, "verify": TLS, **options})


@dataclass(frozen=True)
class Answer:
    status: int
    headers: httpx.Headers
    content: Any

    @property
    def data(self) -> Any:
        """The data; fails if there are errors."""
        assert "errors" not in self.content, self.content["errors"]
        return self.content["data"]

    @property
    def errors(self) -> list[Any]:
        errors: list[Any] = self.content.get("errors", [])
        return errors

    @property
    def code(self) -> str:
        """The code of the only error."""
        assert len(self.errors) == 1, self.content
        code: str = self.errors[0]["extensions"]["code"]
        return code


def still_sandbox(**options: Any) -> Starlette:
    """Make a sandbox in which no time passes: its jobs move only when a test moves them."""
    return create_sandbox(clock=DateClock(), **options)


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox and its control API."""

    url: str
    started: list[tuple[str, str]] = field(default_factory=list, compare=False, repr=False)
    """The access key id of the caller and the ARN of each job that was started here."""

    def fault(self, name: str, **settings: Any) -> None:
        response = self._control("POST", "faults", json={"fault": name, **settings})
        assert response.is_success, response.text

    def reset(self) -> None:
        """End all faults and clear the recorded calls."""
        self._control("DELETE", "faults")
        self._control("DELETE", "calls")

    def start_job(self, caller: str = "ada", **options: Any) -> str:
        """Start a generation job in a caller's account; return its ARN."""
        body = {"access_key_id": CALLERS[caller].access_key_id, **options}
        response = self._control("POST", "jobs", json=body)
        assert response.is_success, response.text
        arn: str = response.json()["audienceGenerationJobArn"]
        self.started.append((body["access_key_id"], arn))
        return arn

    @contextlib.contextmanager
    def removing_jobs(self) -> Iterator[None]:
        """Remove the jobs at the end that are started in the block, and are still there."""
        before = len(self.started)
        yield
        while len(self.started) > before:
            access_key_id, arn = self.started.pop()
            body = {"access_key_id": access_key_id, "audienceGenerationJobArn": arn}
            response = self._control("DELETE", "jobs", json=body)
            assert response.is_success or "audienceGenerationJobArn" in response.text

    def set_job_status(self, arn: str, status: str) -> None:
        """Give a generation job a status, which it then keeps."""
        body = {"audienceGenerationJobArn": arn, "status": status}
        response = self._control("POST", "jobs/status", json=body)
        assert response.is_success, response.text

    def issue_token(self, subject: str = "ada") -> str:
        """Return a token of the sandbox's issuer for one of its users."""
        token: str = self._control("POST", "tokens", json={"subject": subject}).json()["token"]
        return token

    @property
    def calls(self) -> list[Any]:
        """The calls since the last reset."""
        calls: list[Any] = self._control("GET", "calls").json()["calls"]
        return calls

    def count(self, operation: str = "ListAudienceGenerationJobs") -> int:
        """Return the number of calls of an operation since the last reset."""
        return sum(call["operation"] == operation for call in self.calls)

    def _control(self, method: str, path: str, **options: Any) -> httpx.Response:
        return http(method, f"{self.url}/_sandbox/{path}", **options)


@dataclass(frozen=True)
class Gateway:
    """A running gateway and its sandbox."""

    url: str
    sandbox: Sandbox

    def ask(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        caller: str | None = "ada",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a query as one of the sandbox's callers, or anonymously."""
        credentials = aws_headers(CALLERS[caller]) if caller else {}
        return self.send(
            "POST",
            json={"query": query, "variables": variables},
            headers={"Accept": GRAPHQL, **credentials, **(headers or {})},
        )

    def send(self, method: str, path: str = "/graphql", **options: Any) -> Answer:
        response = http(method, self.url + path, **options)
        is_json = "json" in response.headers.get("content-type", "")
        content = response.json() if is_json and response.content else response.text
        return Answer(response.status_code, response.headers, content)


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def request_bytes(query: str, headers: Mapping[str, str]) -> bytes:
    """Write the HTTP request of a query, for a socket that a test controls."""
    body = json.dumps({"query": query})
    lines = [
        "POST /graphql HTTP/1.1",
        "Host: x",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


@contextlib.contextmanager
def gateway_over(
    sandbox: Sandbox, *, http: type[HardenedProtocol] = HardenedProtocol, **settings: Any
) -> Iterator[Gateway]:
    defaults = {
        "upstream_url": sandbox.url,
        "introspection": True,
        "cache_seconds": CACHE_SECONDS,
    }
    merged = {**defaults, **settings}
    with serve(create_app(Settings(**merged)), http=http) as url:
        yield Gateway(url, sandbox)
