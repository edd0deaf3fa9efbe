"""The part of the control API that steers the issuer: new tokens and new keys."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.sandbox.id_tokens import ISSUER_PATH, IdTokens
from gateway.sandbox.issuer_keys import IssuerKeys
from gateway.sandbox.manners import answer, control_route, read_json
from gateway.sandbox.token_orders import read_token_order


class IssuerControl:
    """Answers `/_sandbox/tokens` and `/_sandbox/keys/`."""

    def __init__(self, keys: IssuerKeys, tokens: IdTokens) -> None:
        self._keys = keys
        self._tokens = tokens

    def routes(self) -> list[Route]:
        """Give the paths, relative to `/_sandbox`."""
        return [
            control_route("/tokens", "POST", self._make_token),
            control_route("/keys/rotate", "POST", self._rotate),
        ]

    async def _make_token(self, request: Request) -> Response:
        order = read_token_order(await read_json(request))
        host = request.headers.get("host", "localhost")
        issuer = f"{request.url.scheme}://{host}{ISSUER_PATH}"
        token, expires_at = self._tokens.make(order, issuer)
        return answer({"token": token, "expires_at": expires_at})

    async def _rotate(self, _request: Request) -> Response:
        self._keys.rotate()
        return answer({"kids": [key["kid"] for key in self._keys.published()]})
