"""OIDC: the issuers, STS, and a token on its way."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jwk import Key
from starlette.responses import JSONResponse, Response

from tests.auth.issuers import DISCOVERY, JWKS, LiveIssuer, curve, live_issuer, public, rsa
from tests.doctor.reports import checked, trusting
from tests.doctor.upstreams import answering
from tests.gateways import Sandbox

STEPS = ("token", "token: role", "token: session", "token: call")


def token_of(sandbox: Sandbox, folder: Path, **order: object) -> str:
    """Write an ID token of the sandbox's into a file, with a line's end as editors leave it."""
    answer = httpx.post(f"{sandbox.url}/_sandbox/tokens", json={"subject": "ada", **order})
    path = folder / "token"
    path.write_text(answer.json()["token"] + "\n", encoding="ascii")
    return str(path)


@pytest.fixture
def served(sandbox: Sandbox, tmp_path: Path) -> dict[str, Any]:
    """Give settings that trust the sandbox's issuer, and use its STS."""
    oidc = trusting(tmp_path, f"{sandbox.url}/oidc")
    return {"upstream_url": sandbox.url, "sts_url": sandbox.url, **oidc}


def test_what_tokens_need_works(served: dict[str, Any], sandbox: Sandbox) -> None:
    """The issuer's keys are counted, and STS refuses what is no token."""
    report = checked(**served)
    issuer = f"issuer {sandbox.url}/oidc"

    assert report.code == 0
    assert "2 usable keys, for ES256, RS256" in report.why(issuer)
    assert "InvalidIdentityToken" in report.why("STS")
    assert "Issuers: 1; roles: 1." in report.why("OIDC file")


def test_a_token_is_tried_to_the_end(
    served: dict[str, Any], sandbox: Sandbox, tmp_path: Path
) -> None:
    """Verified, led to a role, exchanged, and used for one call, with no credentials at hand."""
    report = checked("--token-file", token_of(sandbox, tmp_path), **served)

    assert [report.state(step) for step in STEPS] == ["ok"] * 4
    assert "arn:aws:iam::111122223333:role/clean-rooms-reader" in report.why("token: role")
    assert report.code == 0


@pytest.mark.parametrize(
    ("order", "failing", "words"),
    [
        ({"audience": "another"}, 0, ["another audience", "GATEWAY_OIDC_FILE"]),
        ({"seconds": -60}, 0, ["expired", "Get a new one"]),
        ({"subject": "grace"}, 1, ["no role", "[[issuer.role]]"]),
    ],
)
def test_a_token_that_gets_nowhere(
    served: dict[str, Any],
    sandbox: Sandbox,
    tmp_path: Path,
    order: dict[str, object],
    failing: int,
    words: list[str],
) -> None:
    """The step that fails says why; those behind it are skipped, and nothing else suffers."""
    report = checked("--token-file", token_of(sandbox, tmp_path, **order), **served)

    assert report.failed == {STEPS[failing]}
    report.assert_failed(STEPS[failing], *words)
    assert {report.state(step) for step in STEPS[failing + 1 :]} == {"skipped"}


@pytest.mark.parametrize("text", ["", "no token", "a.b.c", "ä", "x" * 20_000])
def test_a_file_without_a_token(served: dict[str, Any], tmp_path: Path, text: str) -> None:
    """It is refused as the gateway would."""
    (tmp_path / "token").write_text(text, encoding="utf-8")
    report = checked("--token-file", str(tmp_path / "token"), **served)

    report.assert_failed("token", "The bearer token", "Get a new one")


def test_a_call_that_the_session_may_not_make(
    served: dict[str, Any], sandbox: Sandbox, tmp_path: Path
) -> None:
    """The last step has AWS's refusal."""
    sandbox.fault("denied", operation="ListAudienceGenerationJobs")
    report = checked("--token-file", token_of(sandbox, tmp_path), **served)

    assert report.failed == {"token: call"}
    report.assert_failed("token: call", "AccessDeniedException", "Allow cleanrooms-ml:List*")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("RegionDisabledException", ["RegionDisabledException", "Enable STS"]),
        ("IDPCommunicationError", ["IDPCommunicationError", "Try again"]),
    ],
)
def test_sts_refuses_for_another_reason(
    served: dict[str, Any], sandbox: Sandbox, tmp_path: Path, code: str, words: list[str]
) -> None:
    """Both STS and the token's session fail by its code."""
    sandbox.fault("sts-error", code=code)
    report = checked("--token-file", token_of(sandbox, tmp_path), **served)

    assert report.failed == {"STS", "token: session"}
    report.assert_failed("STS", *words)
    report.assert_failed("token: session", code, "IAM OIDC provider")


def test_sts_is_not_reached(
    served: dict[str, Any], sandbox: Sandbox, tmp_path: Path, free_port: int
) -> None:
    """Its row says why; the token's refers to it."""
    token = token_of(sandbox, tmp_path)
    settings = served | {"sts_url": f"http://127.0.0.1:{free_port}"}
    report = checked("--token-file", token, **settings)

    assert report.failed == {"STS", "token: session"}
    report.assert_failed("STS", f"127.0.0.1:{free_port}", "nothing listens")
    report.assert_failed("token: session", "nothing listens", "row of STS")


def test_what_answers_for_sts_is_something_else(served: dict[str, Any]) -> None:
    """A web page is not STS."""
    with answering() as server:
        server.body = b"<html></html>"
        server.status = 404
        settings = served | {"sts_url": f"http://127.0.0.1:{server.port}"}
        report = checked(**settings)

    report.assert_failed("STS", "GATEWAY_STS_URL")


def test_a_token_where_none_is_taken(sandbox: Sandbox, tmp_path: Path) -> None:
    """The settings are to blame, and say which."""
    report = checked("--token-file", token_of(sandbox, tmp_path), upstream_url=sandbox.url)

    report.assert_failed("token", "GATEWAY_CALLERS lacks oidc", "Add oidc")


def _answers(issuer: LiveIssuer, path: str, answer: Response) -> None:
    issuer.answer = lambda asked: answer if asked == path else None


FAULTS: dict[str, tuple[str, Response, list[str]]] = {
    "down": (DISCOVERY, Response(status_code=503), [DISCOVERY, "returned HTTP 503"]),
    "of another": (DISCOVERY, JSONResponse({"issuer": "http://other"}), ["another issuer"]),
    "no JSON": (DISCOVERY, Response("<html>"), [DISCOVERY, "returned invalid JSON"]),
    "a list": (DISCOVERY, JSONResponse([]), [DISCOVERY, "returned no JSON object"]),
    "keys gone": (JWKS, Response(status_code=404), [JWKS, "returned HTTP 404"]),
    "no set": (JWKS, JSONResponse({}), ["no list of keys"]),
    "no keys": (JWKS, JSONResponse({"keys": []}), ["no usable key"]),
    "redirected": (JWKS, Response(status_code=302, headers={"location": "/"}), ["returned HTTP 302"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_issuer_that_gives_no_keys(sandbox: Sandbox, tmp_path: Path, fault: str) -> None:
    """The document that is wrong is named, and so is where its address is set."""
    path, answer, words = FAULTS[fault]
    with live_issuer() as issuer:
        _answers(issuer, path, answer)
        oidc = trusting(tmp_path, issuer.url)
        report = checked(upstream_url=sandbox.url, sts_url=sandbox.url, **oidc)

    assert report.failed == {f"issuer {issuer.url}"}
    report.assert_failed(f"issuer {issuer.url}", *words, "GATEWAY_OIDC_FILE")


def test_an_issuer_that_nobody_reaches(sandbox: Sandbox, tmp_path: Path, free_port: int) -> None:
    """A token of it fails by its issuer, whose row says why."""
    url = f"http://127.0.0.1:{free_port}"
    token = token_of(sandbox, tmp_path, claims={"iss": url})
    oidc = trusting(tmp_path, url)
    report = checked("--token-file", token, upstream_url=sandbox.url, sts_url=sandbox.url, **oidc)

    assert report.failed == {f"issuer {url}", "token"}
    report.assert_failed(f"issuer {url}", "nothing listens")
    report.assert_failed("token", "See the row of its issuer")


@pytest.mark.parametrize(
    ("keys", "accepted", "verdict"),
    [
        ([rsa()], '["RS256", "ES256"]', "1 usable key, for RS256."),
        ([curve()], '["RS256"]', "List one that they are for in `algorithms`"),
        ([curve("big", "P-384"), rsa()], '["ES384", "PS256"]', "2 usable keys, for ES384, PS256."),
    ],
)
def test_keys_must_be_for_what_is_accepted(
    sandbox: Sandbox, tmp_path: Path, keys: list[Key], accepted: str, verdict: str
) -> None:
    """An issuer with none is one whose tokens would all be refused."""
    with live_issuer() as issuer:
        issuer.keys = [public(key) for key in keys]
        oidc = trusting(tmp_path, issuer.url, f"algorithms = {accepted}")
        report = checked(upstream_url=sandbox.url, sts_url=sandbox.url, **oidc)

    assert verdict in report.why(f"issuer {issuer.url}")
    assert report.code == ("List one" in verdict)


def test_a_key_that_names_its_algorithm_is_for_no_other(sandbox: Sandbox, tmp_path: Path) -> None:
    """An RSA key for PS256 verifies no RS256."""
    with live_issuer() as issuer:
        issuer.keys = [{**public(rsa()), "alg": "PS256"}]
        oidc = trusting(tmp_path, issuer.url)
        report = checked(upstream_url=sandbox.url, sts_url=sandbox.url, **oidc)

    report.assert_failed(f"issuer {issuer.url}", "ES256, RS256", "PS256")
