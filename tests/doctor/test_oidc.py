"""Checks of the issuers, of STS, and of a token."""

from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from tests.auth.issuers import DISCOVERY, JWKS, curve, live_issuer, public, rsa
from tests.doctor.reports import check, oidc_settings
from tests.doctor.upstreams import fake_server
from tests.gateways import Sandbox, http

STEPS = ("token", "token: role", "token: session", "token: call")


def token_file(sandbox: Sandbox, folder: Path, **order: object) -> str:
    """Write an ID token of the sandbox into a file, with a line break as editors add it."""
    response = http("POST", f"{sandbox.url}/_sandbox/tokens", json={"subject": "ada", **order})
    path = folder / "token"
    path.write_text(response.json()["token"] + "\n", encoding="ascii")
    return str(path)


@pytest.fixture
def settings(sandbox: Sandbox, tmp_path: Path) -> dict[str, Any]:
    oidc = oidc_settings(tmp_path, f"{sandbox.url}/oidc")
    return {"upstream_url": sandbox.url, "sts_url": sandbox.url, **oidc}


def test_issuer_and_sts_are_checked_without_a_token(
    settings: dict[str, Any], sandbox: Sandbox
) -> None:
    report = check(**settings)

    assert report.code == 0
    assert "keys: 2, for ES256, RS256" in report.text(f"issuer {sandbox.url}/oidc")
    assert "InvalidIdentityToken" in report.text("STS")
    assert "ssuers: 1; roles: 1." in report.text("OIDC file")


def test_a_token_is_checked_up_to_a_call(
    settings: dict[str, Any], sandbox: Sandbox, tmp_path: Path
) -> None:
    report = check("--token-file", token_file(sandbox, tmp_path), **settings)

    assert [report.state(step) for step in STEPS] == ["ok"] * 4
    assert "arn:aws:iam::111122223333:role/clean-rooms-reader" in report.text("token: role")
    assert report.code == 0


@pytest.mark.parametrize(
    ("order", "failing", "words"),
    [
        ({"audience": "another"}, 0, ["another audience", "GATEWAY_OIDC_FILE"]),
        ({"seconds": -60}, 0, ["expired", "Get a new token"]),
        ({"subject": "grace"}, 1, ["no role", "[[issuer.role]]"]),
    ],
)
def test_the_steps_after_a_failed_one_are_skipped(
    settings: dict[str, Any],
    sandbox: Sandbox,
    tmp_path: Path,
    order: dict[str, object],
    failing: int,
    words: list[str],
) -> None:
    report = check("--token-file", token_file(sandbox, tmp_path, **order), **settings)

    assert report.failed == {STEPS[failing]}
    report.assert_failed(STEPS[failing], *words)
    assert {report.state(step) for step in STEPS[failing + 1 :]} == {"skipped"}


@pytest.mark.parametrize("text", ["", "no token", "a.b.c", "ä", "x" * 20_000])
def test_a_file_without_a_token_fails(settings: dict[str, Any], tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text, encoding="utf-8")
    report = check("--token-file", str(tmp_path / "token"), **settings)

    report.assert_failed("token", "The bearer token", "Get a new token")


def test_a_denied_call_of_the_session_fails(
    settings: dict[str, Any], sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.fault("denied", operation="ListAudienceGenerationJobs")
    report = check("--token-file", token_file(sandbox, tmp_path), **settings)

    assert report.failed == {"token: call"}
    report.assert_failed("token: call", "AccessDeniedException", "Allow cleanrooms-ml:List*")


@pytest.mark.parametrize(
    ("code", "words"),
    [("RegionDisabledException", ["Enable STS"]), ("IDPCommunicationError", ["Try again"])],
)
def test_an_error_of_sts_is_shown_by_its_code(
    settings: dict[str, Any], sandbox: Sandbox, tmp_path: Path, code: str, words: list[str]
) -> None:
    sandbox.fault("sts-error", code=code)
    report = check("--token-file", token_file(sandbox, tmp_path), **settings)

    assert report.failed == {"STS", "token: session"}
    report.assert_failed("STS", code, *words)
    report.assert_failed("token: session", code, "IAM OIDC provider")


def test_an_unreachable_sts_fails_the_session(
    settings: dict[str, Any], sandbox: Sandbox, tmp_path: Path, free_port: int
) -> None:
    sts = {"sts_url": f"http://127.0.0.1:{free_port}"}
    report = check("--token-file", token_file(sandbox, tmp_path), **settings | sts)

    assert report.failed == {"STS", "token: session"}
    report.assert_failed("STS", f"127.0.0.1:{free_port}", "connection refused")
    report.assert_failed("token: session", "Connection refused", "row of STS")


def test_another_service_in_place_of_sts_fails(settings: dict[str, Any]) -> None:
    with fake_server() as server:
        server.status, server.body = 404, b"<html></html>"
        report = check(**settings | {"sts_url": f"http://127.0.0.1:{server.port}"})

    report.assert_failed("STS", "GATEWAY_STS_URL")


def test_a_token_fails_if_oidc_is_not_enabled(sandbox: Sandbox, tmp_path: Path) -> None:
    report = check("--token-file", token_file(sandbox, tmp_path), upstream_url=sandbox.url)

    report.assert_failed("token", "GATEWAY_CALLERS lacks oidc", "Add oidc")


FAULTS: dict[str, tuple[str, Response, list[str]]] = {
    "down": (DISCOVERY, Response(status_code=503), [DISCOVERY, "returned HTTP 503"]),
    "another issuer": (DISCOVERY, JSONResponse({"issuer": "http://other"}), ["another issuer"]),
    "no JSON": (DISCOVERY, Response("<html>"), [DISCOVERY, "invalid JSON"]),
    "a list": (DISCOVERY, JSONResponse([]), [DISCOVERY, "no JSON object"]),
    "no JWKS": (JWKS, Response(status_code=404), [JWKS, "returned HTTP 404"]),
    "no key set": (JWKS, JSONResponse({}), ["no list of keys"]),
    "no keys": (JWKS, JSONResponse({"keys": []}), ["no usable key"]),
    "redirect": (JWKS, Response(status_code=302, headers={"location": "/"}), ["HTTP 302"]),
}


@pytest.mark.parametrize(("path", "response", "words"), FAULTS.values(), ids=FAULTS)
def test_an_issuer_without_usable_documents_fails(
    sandbox: Sandbox, tmp_path: Path, path: str, response: Response, words: list[str]
) -> None:
    with live_issuer() as issuer:
        issuer.answer = lambda requested: response if requested == path else None
        oidc = oidc_settings(tmp_path, issuer.url)
        report = check(upstream_url=sandbox.url, sts_url=sandbox.url, **oidc)

    assert report.failed == {f"issuer {issuer.url}"}
    report.assert_failed(f"issuer {issuer.url}", *words, "GATEWAY_OIDC_FILE")


def test_an_unreachable_issuer_fails_its_tokens(
    sandbox: Sandbox, tmp_path: Path, free_port: int
) -> None:
    url = f"http://127.0.0.1:{free_port}"
    token = token_file(sandbox, tmp_path, claims={"iss": url})
    oidc = oidc_settings(tmp_path, url)
    report = check("--token-file", token, upstream_url=sandbox.url, sts_url=sandbox.url, **oidc)

    assert report.failed == {f"issuer {url}", "token"}
    report.assert_failed(f"issuer {url}", "onnection refused")
    report.assert_failed("token", "See the row of its issuer")


@pytest.mark.parametrize(
    ("keys", "accepted", "text"),
    [
        ([public(rsa())], '["RS256", "ES256"]', "keys: 1, for RS256."),
        ([public(curve("big", "P-384")), public(rsa())], '["ES384", "PS256"]', "2, for ES384, PS"),
        ([public(curve())], '["RS256"]', "Add one of theirs (ES256)"),
        ([{**public(rsa()), "alg": "PS256"}], '["RS256"]', "Add one of theirs (PS256)"),
    ],
)
def test_a_key_must_be_for_an_accepted_algorithm(
    sandbox: Sandbox, tmp_path: Path, keys: list[Any], accepted: str, text: str
) -> None:
    """A key that names its algorithm is for no other."""
    with live_issuer() as issuer:
        issuer.keys = keys
        oidc = oidc_settings(tmp_path, issuer.url, f"algorithms = {accepted}")
        report = check(upstream_url=sandbox.url, sts_url=sandbox.url, **oidc)

    assert text in report.text(f"issuer {issuer.url}")
    assert report.code == ("Add one" in text)
