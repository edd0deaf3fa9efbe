"""An upstream that remembers every request, and answers as it is told."""

from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came over the wire."""

    method: str
    path: str
    query: str
    headers: dict[str, str]

    def __contains__(self, text: str) -> bool:
        """Say whether the text is anywhere in the request."""
        return any(text in part for part in (self.path, self.query, *self.headers.values()))


def empty_page(_: Received) -> Response:
    """Answer a list of generation jobs that has none."""
    return Response(b'{"audienceGenerationJobs": []}', media_type="application/json")


@dataclass
class Recorder:
    """An ASGI application to be served."""

    answer: Callable[[Received], Response] = empty_page
    requests: list[Received] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Remember one request, and answer it."""
        assert scope["type"] == "http"
        received = Received(
            scope["method"],
            scope["path"],
            scope["query_string"].decode("latin-1"),
            {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        )
        self.requests.append(received)
        await self.answer(received)(scope, receive, send)
