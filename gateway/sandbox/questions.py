"""What is asked, once it is known by whom and found to be well formed."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from starlette.types import Receive

from gateway.sandbox.inputs import Inputs
from gateway.sandbox.operations import LISTINGS
from gateway.sandbox.tokens import ListId, Place, decode_token
from gateway.sandbox.verification import Identity

DEFAULT_PAGE_SIZE = 100

Deliver = Callable[[bytes], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True)
class Question:
    """One call of one operation."""

    operation: str
    inputs: Inputs
    identity: Identity
    receive: Receive = field(repr=False)
    long_tokens: bool = False

    @property
    def is_list(self) -> bool:
        """Whether the answer has pages."""
        return self.operation in LISTINGS

    @property
    def next_token(self) -> str | None:
        """The token that was sent."""
        token = self.inputs.get("nextToken")
        return None if token is None else str(token)

    @property
    def page_size(self) -> int:
        """How many items the page may have at most."""
        return int(self.inputs.get("maxResults", DEFAULT_PAGE_SIZE))

    @property
    def list_id(self) -> ListId:
        """What tokens of this list are bound to."""
        paging = {"nextToken", "maxResults"}
        filters = {name: value for name, value in self.inputs.items() if name not in paging}
        account_id = self.identity.caller.account_id
        return ListId(self.operation, account_id, self.identity.region, filters)

    @property
    def place(self) -> Place:
        """Where in the list the page begins."""
        return Place() if self.next_token is None else decode_token(self.next_token, self.list_id)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back, before the headers that every answer has."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"
    # How the body goes out where that is not at once: piece by piece, and perhaps more than it.
    deliver: Deliver | None = None


Proceed = Callable[[Question], Awaitable[Answer]]
