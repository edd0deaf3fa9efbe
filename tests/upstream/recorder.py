"""An upstream that records every request."""

from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


@dataclass(frozen=True, slots=True)
class Received:
    method: str
    path: str
    query: str
    headers: dict[str, str]

    def __contains__(self, text: str) -> bool:
        return any(text in part for part in (self.path, self.query, *self.headers.values()))


def empty_page(_: Received) -> Response:
    return Response(b'{"audienceGenerationJobs": []}', media_type="application/json")


@dataclass
class Recorder:
    answer: Callable[[Received], Response] = empty_page
    requests: list[Received] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        received = Received(
            scope["method"],
            scope["path"],
            scope["query_string"].decode("latin-1"),
            {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        )
        self.requests.append(received)
        await self.answer(received)(scope, receive, send)
