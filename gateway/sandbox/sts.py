"""The sandbox's STS: an ID token of its own issuer in, temporary credentials out."""

import re
from datetime import UTC, datetime, timedelta
from math import ceil

from starlette.types import Receive

from gateway.sandbox.callers import SandboxCaller
from gateway.sandbox.calls import Call
from gateway.sandbox.forms import read_assume_role, read_form, shown_fields
from gateway.sandbox.id_tokens import IdTokens, WebIdentity
from gateway.sandbox.inputs import Inputs
from gateway.sandbox.model import ASSUME_ROLE
from gateway.sandbox.outbreaks import Outbreaks
from gateway.sandbox.people import PEOPLE, ROLE_ARNS, ROLE_NAME
from gateway.sandbox.policies import UNRESTRICTED, read_policy
from gateway.sandbox.problems import RefusalError, invalid, not_authorized
from gateway.sandbox.questions import Answer, Question
from gateway.sandbox.sessions import Sessions
from gateway.sandbox.signature import ReceivedRequest
from gateway.sandbox.verification import NOBODY, Clock
from gateway.sandbox.xml_answers import Content, xml_answer, xml_refusal

DEFAULT_SECONDS = 3600

_ROLE_ARN = re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/[\w+=,.@/-]+", re.ASCII)
_PACKED_CHARACTERS = 2048
_ACCOUNTS = {ROLE_ARNS[name]: person.account_id for name, person in PEOPLE.items()}


class Sts:
    """The desk that gives credentials."""

    def __init__(
        self, tokens: IdTokens, sessions: Sessions, outbreaks: Outbreaks, clock: Clock
    ) -> None:
        self._tokens = tokens
        self._sessions = sessions
        self._outbreaks = outbreaks
        self._clock = clock

    async def answer(self, received: ReceivedRequest, receive: Receive, call: Call) -> Answer:
        """Give what AWS would answer."""
        form = read_form(received)
        call.parameters = shown_fields(form)
        if form.get("Action") == ASSUME_ROLE:
            call.operation = ASSUME_ROLE
        inputs = read_assume_role(form)
        call.parameters = shown_fields(inputs)

        async def proceed(question: Question) -> Answer:
            return self._assume_role(question.inputs, call)

        question = Question(ASSUME_ROLE, inputs, NOBODY, receive)
        return await self._outbreaks.afflict(question, proceed)(question)

    def refuse(self, refusal: RefusalError, call: Call) -> Answer:
        """Word a refusal as STS does."""
        return xml_refusal(refusal, call.request_id)

    def _assume_role(self, inputs: Inputs, call: Call) -> Answer:
        role_arn, name = str(inputs["RoleArn"]), str(inputs["RoleSessionName"])
        if not _ROLE_ARN.fullmatch(role_arn):
            raise invalid(f"{role_arn} is invalid")
        policy = read_policy(str(inputs["Policy"])) if "Policy" in inputs else UNRESTRICTED
        identity = self._tokens.verify(str(inputs["WebIdentityToken"]))
        if role_arn not in _ACCOUNTS:
            raise not_authorized(f"sts:{ASSUME_ROLE}")
        lasting = timedelta(seconds=int(inputs.get("DurationSeconds", DEFAULT_SECONDS)))
        ends = (self._clock() + lasting).astimezone(UTC).replace(microsecond=0)
        session = self._sessions.give(_ACCOUNTS[role_arn], ROLE_NAME, name, ends, policy)
        call.access_key_id = session.caller.access_key_id
        return xml_answer(
            ASSUME_ROLE, _result(session.caller, ends, identity, inputs), call.request_id
        )


def _result(
    caller: SandboxCaller, ends: datetime, identity: WebIdentity, inputs: Inputs
) -> Content:
    role_id = f"AROA{caller.account_id:X<17}"
    result: dict[str, Content] = {
        "Credentials": {
            "AccessKeyId": caller.access_key_id,
            "SecretAccessKey": caller.secret_access_key,
            "SessionToken": caller.session_token or "",
            "Expiration": f"{ends:%Y-%m-%dT%H:%M:%SZ}",
        },
        "SubjectFromWebIdentityToken": identity.subject,
        "AssumedRoleUser": {
            "AssumedRoleId": f"{role_id}:{caller.name}",
            "Arn": caller.user_arn,
        },
        "Provider": identity.issuer,
        "Audience": identity.audience,
    }
    if "Policy" in inputs:
        size = ceil(100 * len(str(inputs["Policy"])) / _PACKED_CHARACTERS)
        result["PackedPolicySize"] = size
    return result
