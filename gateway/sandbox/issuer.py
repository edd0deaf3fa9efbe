"""The OIDC issuer's own pages, unsigned: its discovery document and its public keys."""

from collections.abc import Callable

import orjson
from starlette.types import Receive

from gateway.sandbox.calls import Call
from gateway.sandbox.id_tokens import ISSUER_PATH
from gateway.sandbox.issuer_keys import ALGORITHMS, IssuerKeys
from gateway.sandbox.outbreaks import Outbreaks
from gateway.sandbox.problems import RefusalError
from gateway.sandbox.questions import Answer, Question
from gateway.sandbox.reception import json_refusal
from gateway.sandbox.signature import ReceivedRequest
from gateway.sandbox.verification import NOBODY

DISCOVERY_PATH = f"{ISSUER_PATH}/.well-known/openid-configuration"
JWKS_PATH = f"{ISSUER_PATH}/jwks"


class Page:
    """The desk that answers one page, the same to everybody."""

    def __init__(
        self, operation: str, content: Callable[[str], object], outbreaks: Outbreaks
    ) -> None:
        self._operation = operation
        self._content = content
        self._outbreaks = outbreaks

    async def answer(self, received: ReceivedRequest, receive: Receive, call: Call) -> Answer:
        """Give the page, unless a fault has it otherwise."""
        call.operation = self._operation

        async def proceed(_question: Question) -> Answer:
            return Answer(orjson.dumps(self._content(received.origin)))

        question = Question(self._operation, {}, NOBODY, receive)
        return await self._outbreaks.afflict(question, proceed)(question)

    def refuse(self, refusal: RefusalError, _call: Call) -> Answer:
        """Word a refusal."""
        return json_refusal(refusal)


def issuer_pages(keys: IssuerKeys, outbreaks: Outbreaks) -> dict[str, Page]:
    """Give the pages by their paths."""

    def jwks(_origin: str) -> object:
        return {"keys": keys.published()}

    return {
        DISCOVERY_PATH: Page("GetOpenIdConfiguration", _configuration, outbreaks),
        JWKS_PATH: Page("GetJwks", jwks, outbreaks),
    }


def _configuration(origin: str) -> object:
    return {
        "issuer": origin + ISSUER_PATH,
        "jwks_uri": origin + JWKS_PATH,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": list(ALGORITHMS),
        "claims_supported": ["iss", "sub", "aud", "iat", "exp", "email", "groups"],
    }
