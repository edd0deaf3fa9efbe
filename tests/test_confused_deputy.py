"""The gateway never signs with an identity of its own, of its machine, or of another caller."""

import dataclasses
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.auth.sts import OPERATION
from gateway.dev import aws_headers
from gateway.sandbox import CALLERS, ROLE_ARNS
from tests.auth.issuers import claims_of, curve, sandbox_file, token
from tests.aws_environment import (
    CANARY,
    KEY_ID,
    ROLE,
    SECRET,
    SOURCES,
    TOKEN,
    Traps,
    aws_environment,
)
from tests.gateways import Gateway, Sandbox, bearer, gateway_over, still_sandbox
from tests.sandbox.identities import id_token
from tests.serving import serve

JOBS = "{ audienceGenerationJobs { nodes { name } } }"
LIST = "ListAudienceGenerationJobs"


class RecordingSandbox:
    """A sandbox that records the headers and bodies of all requests."""

    def __init__(self) -> None:
        self._sandbox: ASGIApp = still_sandbox()
        self.received: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_sandbox"):
            await self._sandbox(scope, receive, send)
            return
        self.received.append(f"{scope['method']} {scope['raw_path']!r}?{scope['query_string']!r}")
        self.received += [f"{name!r}: {value!r}" for name, value in scope["headers"]]

        async def receive_and_record() -> Any:
            message = await receive()
            self.received.append(repr(message.get("body", b"")))
            return message

        await self._sandbox(scope, receive_and_record, send)


@dataclasses.dataclass(frozen=True)
class TrappedGateway(Traps):
    """A gateway on a machine that has identities, and the traces of their use."""

    gateway: Gateway
    recording: RecordingSandbox

    def check(self) -> None:
        """Assert that none was used."""
        super().check()
        assert not [text for text in self.recording.received if CANARY in text]


@pytest.fixture(scope="module")
def recording() -> Iterator[tuple[RecordingSandbox, Sandbox]]:
    listening = RecordingSandbox()
    with serve(listening) as url:
        yield listening, Sandbox(url)


@pytest.fixture(params=SOURCES)
def traps(
    request: pytest.FixtureRequest,
    recording: tuple[RecordingSandbox, Sandbox],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[TrappedGateway]:
    """Serve a gateway where one source would be the first that the AWS libraries use."""
    listening, sandbox = recording
    sandbox.reset()
    listening.received.clear()
    with (
        aws_environment(request.param, tmp_path, monkeypatch) as traps,
        deputy(sandbox, tmp_path) as gateway,
    ):
        yield TrappedGateway(traps.stub, traps.touched, gateway, listening)
    sandbox.reset()


def deputy(sandbox: Sandbox, folder: Path) -> Any:
    return gateway_over(
        sandbox,
        callers={"aws-headers", "oidc"},
        oidc_file=sandbox_file(folder, sandbox.url),
        sts_url=sandbox.url,
        cache_seconds=0,
    )


def operations(sandbox: Sandbox) -> set[str]:
    return {call["operation"] for call in sandbox.calls}


def test_without_valid_credentials_aws_is_not_called(traps: TrappedGateway) -> None:
    gateway = traps.gateway
    issuer = f"{gateway.sandbox.url}/oidc"
    own = claims_of(issuer, aud="audience-gateway", exp=4e9, iat=0)
    ada = dict(aws_headers(CALLERS["ada"]))
    for headers in (
        {},
        {**ada, "X-Aws-Secret-Access-Key": ""},
        dict.fromkeys(ada, ""),
        {"X-Aws-Access-Key-Id": CALLERS["ada"].access_key_id},
        {"X-Aws-Session-Token": ada["X-Aws-Session-Token"]},
        bearer("x"),
        bearer(token(own, curve())),
        bearer(id_token(gateway.sandbox.url, seconds=-60)),
        {"Authorization": "Basic Og=="},
        {**ada, **bearer(id_token(gateway.sandbox.url))},
    ):
        answer = gateway.ask(JOBS, caller=None, headers=headers)
        assert (answer.status, answer.code) == (401, "UNAUTHENTICATED"), headers
        assert "data" not in answer.content
    assert gateway.ask("{ __typename }", caller=None).data

    assert operations(gateway.sandbox) <= {"GetOpenIdConfiguration", "GetJwks"}
    traps.check()


def test_a_failed_exchange_leads_to_no_call(traps: TrappedGateway) -> None:
    gateway = traps.gateway
    text = id_token(gateway.sandbox.url)
    for fault in (
        {"name": "sts-error", "code": "AccessDenied"},
        {"name": "sts-error", "code": "InvalidIdentityToken"},
        {"name": "sts-error", "code": "ExpiredTokenException"},
        {"name": "sts-error", "code": "ServiceUnavailable"},
        {"name": "html", "operation": OPERATION},
        {"name": "truncated", "operation": OPERATION},
        {"name": "redirect", "operation": OPERATION, "location": traps.gateway.url},
    ):
        gateway.sandbox.fault(**fault)
        answer = gateway.ask(JOBS, caller=None, headers=bearer(text))
        assert answer.code != "INTERNAL"
        assert not (answer.content.get("data") or {}).get("audienceGenerationJobs")
        assert LIST not in operations(gateway.sandbox)
        gateway.sandbox.reset()
    assert gateway.ask(JOBS, caller=None, headers=bearer(id_token(gateway.sandbox.url, "x"))).code

    traps.check()


def test_calls_are_signed_with_credentials_of_the_caller_only(traps: TrappedGateway) -> None:
    """Refused credentials are not replaced by others."""
    gateway = traps.gateway
    assert gateway.ask(JOBS, caller="ada").data
    assert gateway.ask(JOBS, caller=None, headers=bearer(id_token(gateway.sandbox.url))).data
    assert gateway.ask(JOBS, caller="expired").status == 401
    assert gateway.ask(JOBS, caller="denied").code == "FORBIDDEN"

    given = {call["access_key_id"] for call in gateway.sandbox.calls if call["access_key_id"]}
    known = {CALLERS[name].access_key_id for name in ("ada", "expired", "denied")}
    assert len(given - known) == 1
    assert given > known
    assert {call["region"] for call in gateway.sandbox.calls} <= {"us-east-1", None}
    traps.check()


FOREIGN_HEADERS: dict[str, str] = {
    "X-Role-Arn": ROLE,
    "X-Aws-Role-Arn": ROLE,
    "X-Amz-Role-Arn": ROLE,
    "X-Aws-External-Id": CANARY,
    "X-Aws-Role-Session-Name": CANARY,
    "X-Aws-Source-Identity": CANARY,
    "X-Aws-Region": "eu-west-3",
    "X-Amz-Region": "eu-west-3",
    "X-Aws-Endpoint-Url": "{stub}",
    "X-Aws-Endpoint": "{stub}",
    "X-Aws-Sts-Url": "{stub}",
    "X-Upstream-Url": "{stub}",
    "X-Amz-Security-Token": TOKEN,
    "X-Amz-Date": "20200101T000000Z",
    "X-Amz-Content-Sha256": CANARY,
    "X-Amz-Target": CANARY,
    "X-Amz-User-Agent": CANARY,
    "X-Aws-Access-Key": KEY_ID,
    "X-Aws-Secret-Key": SECRET,
    "X-Aws-Token": TOKEN,
    "X-Amzn-Oidc-Data": CANARY,
    "X-Amzn-Oidc-Identity": CANARY,
    "X-Amzn-Trace-Id": f"Root={CANARY}",
    "X-Forwarded-Host": "{host}",
    "X-Forwarded-For": "127.0.0.1",
    "X-Forwarded-User": CANARY,
    "X-Forwarded-Access-Token": TOKEN,
    "X-Original-Url": "{stub}",
    "X-Remote-User": CANARY,
    "X-Http-Method-Override": "PUT",
    "Forwarded": "host={host}",
    "Proxy-Authorization": f"Basic {CANARY}",
    "Cookie": f"session={CANARY}",
    "Host": "{host}",
    "User-Agent": CANARY,
}


def test_headers_and_claims_choose_no_role_region_or_endpoint(traps: TrappedGateway) -> None:
    gateway, sandbox = traps.gateway, traps.gateway.sandbox
    with serve(traps.stub) as url:
        host = urlsplit(url).netloc
        foreign = {
            name: value.format(stub=url, host=host) for name, value in FOREIGN_HEADERS.items()
        }
        claims = {
            "role_arn": ROLE,
            "cognito:roles": [ROLE],
            "cognito:preferred_role": ROLE,
            "region": "eu-west-3",
            "jku": url,
        }
        text = id_token(sandbox.url, claims=claims)
        for headers in ({}, foreign):
            assert gateway.ask(JOBS, caller="ada", headers=headers).data
            assert gateway.ask(JOBS, caller=None, headers={**bearer(text), **headers}).data

    (exchange,) = [call for call in sandbox.calls if call["operation"] == OPERATION]
    assert exchange["parameters"]["RoleArn"] == ROLE_ARNS["ada"]
    plain, _, *rest = [call for call in sandbox.calls if call["operation"] == LIST]
    assert len(rest) == 2
    assert {(call["region"], str(call["parameters"])) for call in rest} == {
        ("us-east-1", str(plain["parameters"]))
    }
    assert not [text for text in traps.recording.received if host in text or "eu-west-3" in text]
    traps.check()


ADA = dict(aws_headers(CALLERS["ada"]))
LINES: Mapping[str, str] = {
    "id": f"X-Aws-Access-Key-Id: {ADA['X-Aws-Access-Key-Id']}",
    "secret": f"X-Aws-Secret-Access-Key: {ADA['X-Aws-Secret-Access-Key']}",
    "session": f"X-Aws-Session-Token: {ADA['X-Aws-Session-Token']}",
    "bearer": "Authorization: Bearer {good}",
}
LOWER = {
    name: line.split(":")[0].lower() + ":" + line.split(":", 1)[1] for name, line in LINES.items()
}
KEYS = [LINES["id"], LINES["secret"], LINES["session"]]
TOKEN_LINE = LINES["bearer"]
GRACE = [f"{name}: {value}" for name, value in aws_headers(CALLERS["grace"]).items()]

MIXTURES: dict[str, list[str]] = {
    "nothing": [],
    "the key id alone": KEYS[:1],
    "the secret alone": KEYS[1:2],
    "the session token alone": KEYS[2:],
    "no session token": KEYS[:2],
    "no secret": [KEYS[0], KEYS[2]],
    "no key id": KEYS[1:],
    "an empty key id": ["X-Aws-Access-Key-Id:", *KEYS[1:]],
    "an empty secret": [KEYS[0], "X-Aws-Secret-Access-Key:", KEYS[2]],
    "an empty session token": [*KEYS[:2], "X-Aws-Session-Token:"],
    "a blank session token": [*KEYS[:2], "X-Aws-Session-Token: \t "],
    "all empty": [f"{name}:" for name in ADA],
    "the key id twice": [KEYS[0], *KEYS],
    "the key id twice in two cases": [*KEYS, LOWER["id"]],
    "the secret twice": [*KEYS, KEYS[1]],
    "the session token twice": [*KEYS, KEYS[2]],
    "two callers": [*KEYS, *GRACE],
    "the key id of another caller": [*KEYS, GRACE[0]],
    "an empty second key id": [*KEYS, "X-Aws-Access-Key-Id:"],
    "an empty first key id": ["X-Aws-Access-Key-Id:", *KEYS],
    "two key ids in one": [f"{KEYS[0]}, {ADA['X-Aws-Access-Key-Id']}", *KEYS[1:]],
    "a space in the secret": [KEYS[0], f"{KEYS[1]} x", KEYS[2]],
    "a null in the secret": [KEYS[0], f"{KEYS[1]}\0", KEYS[2]],
    "a bare line break in the secret": [KEYS[0], f"{KEYS[1]}\nX-Y: z", KEYS[1], KEYS[2]],
    "a bare return in the secret": [KEYS[0], f"{KEYS[1]}\rX-Y: z", KEYS[2]],
    "a folded session token": [*KEYS[:2], KEYS[2].replace(": ", ":\r\n ") + "\r\n x"],
    "a space before the colon": [KEYS[0].replace(":", " :"), *KEYS[1:]],
    "beyond ASCII": [KEYS[0], f"{KEYS[1]}é", KEYS[2]],
    "a long-term key": [KEYS[0].replace("ASIA", "AKIA"), *KEYS[1:]],
    "underscores": [line.replace("-", "_", 4) for line in KEYS],
    "token and keys": [TOKEN_LINE, *KEYS],
    "keys and token": [*KEYS, TOKEN_LINE],
    "token and key id": [TOKEN_LINE, KEYS[0]],
    "token and an empty key id": [TOKEN_LINE, "X-Aws-Access-Key-Id:"],
    "token and session token": [TOKEN_LINE, KEYS[2]],
    "keys and an empty authorization": [*KEYS, "Authorization:"],
    "keys and basic": [*KEYS, "Authorization: Basic YTpi"],
    "keys and a signature": [*KEYS, "Authorization: AWS4-HMAC-SHA256 Credential=x"],
    "the token twice": [TOKEN_LINE, TOKEN_LINE],
    "the token twice in two cases": [TOKEN_LINE, LOWER["bearer"]],
    "the tokens of two subjects": [TOKEN_LINE, "Authorization: Bearer {other}"],
    "a token and basic": [TOKEN_LINE, "Authorization: Basic YTpi"],
    "a token and nothing": [TOKEN_LINE, "Authorization:"],
    "nothing and a token": ["Authorization:", TOKEN_LINE],
    "two tokens in one": [TOKEN_LINE + ", Bearer {other}"],
    "two tokens by a space": [TOKEN_LINE + " {other}"],
    "a folded token": [TOKEN_LINE + "\r\n .x"],
    "a token as a parameter": ["Authorization: Bearer token={good}"],
    "a quoted token": ['Authorization: Bearer "{good}"'],
    "a token without its scheme": ["Authorization: {good}"],
    "a token of another scheme": ["Authorization: DPoP {good}"],
    "a token as basic": ["Authorization: Basic {good}"],
    "an empty authorization": ["Authorization:"],
    "a bare scheme": ["Authorization: Bearer"],
    "a token in a cookie": ["Cookie: Authorization=Bearer {good}"],
    "a token to the proxy": ["Proxy-Authorization: Bearer {good}"],
}


def send_lines(url: str, lines: list[str]) -> tuple[int, str]:
    """Send these header lines as they are, and return the status and the whole response."""
    host = urlsplit(url)
    body = f'{{"query": "{JOBS}"}}'
    head = [
        "POST /graphql HTTP/1.1",
        f"Host: {host.netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *lines,
    ]
    with socket.create_connection((host.hostname, host.port), timeout=60) as connection:
        connection.sendall(("\r\n".join(head) + "\r\n\r\n" + body).encode("latin-1"))
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    return int(answer.split(" ", 2)[1]), answer


@pytest.fixture(scope="module")
def gateway(
    recording: tuple[RecordingSandbox, Sandbox], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    with deputy(recording[1], tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


def with_tokens(lines: list[str], sandbox: Sandbox) -> list[str]:
    tokens = {"good": id_token(sandbox.url), "other": id_token(sandbox.url, "grace")}
    return [
        line.replace("{good}", tokens["good"]).replace("{other}", tokens["other"]) for line in lines
    ]


@pytest.mark.parametrize("lines", MIXTURES.values(), ids=MIXTURES)
def test_incomplete_duplicate_and_conflicting_credentials_are_refused(
    gateway: Gateway, lines: list[str]
) -> None:
    """The status is 401, or 400 if the request is no HTTP, and no call is made.

    Each part is valid by itself, so that whichever the gateway picked would be accepted.
    """
    sent = with_tokens(lines, gateway.sandbox)
    gateway.sandbox.reset()
    status, answer = send_lines(gateway.url, sent)

    assert status in {400, 401}, answer
    assert '"data"' not in answer
    assert gateway.sandbox.calls == []
    for secret in (*ADA.values(), *(line.rpartition(" ")[2] for line in sent if "eyJ" in line)):
        assert secret not in answer


@pytest.mark.parametrize(
    "lines",
    [KEYS, KEYS[::-1], [*LOWER.values()][:3], [TOKEN_LINE], [LOWER["bearer"]]],
    ids=["keys", "reversed", "lower case", "token", "lower-case token"],
)
def test_each_scheme_alone_is_accepted(gateway: Gateway, lines: list[str]) -> None:
    """The counterpart of the test above."""
    sent = with_tokens(lines, gateway.sandbox)
    gateway.sandbox.reset()
    status, answer = send_lines(gateway.url, sent)

    assert status == 200, answer
    assert '"audienceGenerationJobs":{"nodes":[{' in answer
    assert gateway.sandbox.count() == 1
