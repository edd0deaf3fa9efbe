"""A gateway over a sandbox, both over real HTTP, and one way to ask it."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from gateway.app import create_app
from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from gateway.server.protocol import HardenedProtocol
from gateway.settings import Settings
from tests.serving import serve

GRAPHQL = "application/graphql-response+json"
TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Answer:
    """What the gateway answered."""

    status: int
    headers: httpx.Headers
    content: Any

    @property
    def data(self) -> Any:
        """The data; fails where there are errors."""
        assert "errors" not in self.content, self.content["errors"]
        return self.content["data"]

    @property
    def errors(self) -> list[Any]:
        """The errors, perhaps none."""
        errors: list[Any] = self.content.get("errors", [])
        return errors

    @property
    def code(self) -> str:
        """The code of the one error."""
        assert len(self.errors) == 1, self.content
        code: str = self.errors[0]["extensions"]["code"]
        return code


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox and its control API."""

    url: str

    def fault(self, name: str, **settings: Any) -> None:
        """Switch a fault on."""
        answer = httpx.post(f"{self.url}/_sandbox/faults", json={"fault": name, **settings})
        assert answer.is_success, answer.text

    def reset(self) -> None:
        """Heal, and forget the calls."""
        httpx.delete(f"{self.url}/_sandbox/faults")
        httpx.delete(f"{self.url}/_sandbox/calls")

    @property
    def calls(self) -> list[Any]:
        """The calls since the last reset."""
        calls: list[Any] = httpx.get(f"{self.url}/_sandbox/calls").json()["calls"]
        return calls

    def count(self, operation: str = "ListAudienceGenerationJobs") -> int:
        """How often an operation was called since the last reset."""
        return sum(call["operation"] == operation for call in self.calls)


@dataclass(frozen=True)
class Gateway:
    """A running gateway and the sandbox below it."""

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
        """Ask as one of the sandbox's callers, or as nobody."""
        identity = aws_headers(CALLERS[caller]) if caller else {}
        return self.send(
            "POST",
            json={"query": query, "variables": variables},
            headers={"Accept": GRAPHQL, **identity, **(headers or {})},
        )

    def send(self, method: str, path: str = "/graphql", **options: Any) -> Answer:
        """Send any request."""
        response = httpx.request(method, self.url + path, timeout=TIMEOUT_SECONDS, **options)
        is_json = "json" in response.headers.get("content-type", "")
        content = response.json() if is_json and response.content else response.text
        return Answer(response.status_code, response.headers, content)


@contextlib.contextmanager
def gateway_over(
    sandbox: Sandbox, *, http: type[HardenedProtocol] = HardenedProtocol, **settings: Any
) -> Iterator[Gateway]:
    """Serve a gateway with these settings over a sandbox."""
    given = {"upstream_url": sandbox.url, "introspection": True, **settings}
    with serve(create_app(Settings(**given)), http=http) as url:
        yield Gateway(url, sandbox)
