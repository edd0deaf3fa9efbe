"""The emulated API: every signed request in, AWS's answer out."""

from starlette.types import Receive

from gateway.sandbox.answers import Answers
from gateway.sandbox.authorization import read_authorization
from gateway.sandbox.callers import CALLERS
from gateway.sandbox.calls import Call
from gateway.sandbox.inputs import read_inputs
from gateway.sandbox.outbreaks import Outbreaks
from gateway.sandbox.problems import RefusalError
from gateway.sandbox.questions import Answer, Question
from gateway.sandbox.reception import json_refusal
from gateway.sandbox.refusals import access_denied
from gateway.sandbox.routes import Routes
from gateway.sandbox.signature import ReceivedRequest
from gateway.sandbox.verification import Verifier


class Upstream:
    """The desk behind every path that nothing else answers."""

    def __init__(self, answers: Answers, verifier: Verifier, outbreaks: Outbreaks) -> None:
        self._answers = answers
        self._verifier = verifier
        self._outbreaks = outbreaks
        self._routes = Routes()

    async def answer(self, received: ReceivedRequest, receive: Receive, call: Call) -> Answer:
        """Give what AWS would answer."""
        call.operation, members = self._routes.find(received.method, received.raw_path)
        call.parameters = {**members, **call.parameters}
        claim = read_authorization(dict(received.headers))
        call.access_key_id, call.region = claim.access_key_id, claim.region
        identity = self._verifier.verify(claim, received)
        allowed = identity.policy.allows(call.operation)
        if identity.caller == CALLERS["denied"] or not allowed:
            raise access_denied(identity.caller, call.operation)
        inputs = read_inputs(call.operation, members, received.query)
        call.parameters = inputs
        question = Question(call.operation, inputs, identity, receive)
        return await self._outbreaks.afflict(question, self._answers.answer)(question)

    def refuse(self, refusal: RefusalError, _call: Call) -> Answer:
        """Word a refusal as REST-JSON does."""
        return json_refusal(refusal)
