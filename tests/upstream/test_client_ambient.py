"""The environment's AWS credentials and settings never become anybody's."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.responses import JSONResponse, Response

from gateway.auth.credentials import Caller
from gateway.errors import GatewayError
from tests.serving import serve
from tests.upstream.clients import REGION, caller, list_jobs, open_client
from tests.upstream.recorder import Received, Recorder, empty_page

CANARY = "CANARY"
KEY_ID = f"ASIA{CANARY}0123456789"
SECRET = f"{CANARY}-secret"
TOKEN = f"{CANARY}-token"

FILE = f"""
[default]
aws_access_key_id = {KEY_ID}
aws_secret_access_key = {SECRET}
aws_session_token = {TOKEN}
endpoint_url = {{stub}}
region = eu-west-3
services = mine

[profile canary]
aws_access_key_id = {KEY_ID}
aws_secret_access_key = {SECRET}
aws_session_token = {TOKEN}
endpoint_url = {{stub}}
region = eu-west-3
services = mine
credential_process = /bin/sh -c 'touch {{touched}}'

[canary]
aws_access_key_id = {KEY_ID}
aws_secret_access_key = {SECRET}
aws_session_token = {TOKEN}

[services mine]
cleanroomsml =
  endpoint_url = {{stub}}
"""


@dataclasses.dataclass(frozen=True)
class Traps:
    """Where ambient credentials would come from, and what shows that somebody asked."""

    stub: Recorder
    touched: Path


def _hand_out(received: Received) -> Response:
    if received.path.endswith("/security-credentials/"):
        return Response(b"canary-role", media_type="text/plain")
    keys = {"AccessKeyId": KEY_ID, "SecretAccessKey": SECRET, "Token": TOKEN}
    return JSONResponse({**keys, "Expiration": "2999-01-01T00:00:00Z", "Code": "Success"})


@pytest.fixture(params=["variables", "profile", "container", "instance", "bearer"])
def traps(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Traps]:
    """Set the environment up so that one source would be the default chain's first choice."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    stub, touched, file = Recorder(_hand_out), tmp_path / "touched", tmp_path / "aws"
    with serve(stub) as url:
        file.write_text(FILE.format(stub=url, touched=touched), encoding="utf-8")
        nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        sources: dict[str, dict[str, str]] = {
            "variables": {
                "AWS_ACCESS_KEY_ID": KEY_ID,
                "AWS_SECRET_ACCESS_KEY": SECRET,
                "AWS_SESSION_TOKEN": TOKEN,
                **nowhere,
            },
            "profile": {
                "AWS_PROFILE": "canary",
                "AWS_CONFIG_FILE": str(file),
                "AWS_SHARED_CREDENTIALS_FILE": str(file),
            },
            "container": {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/container",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN": TOKEN,
                **nowhere,
            },
            "instance": {"AWS_EC2_METADATA_SERVICE_ENDPOINT": url, **nowhere},
            "bearer": {
                "AWS_BEARER_TOKEN_CLEANROOMS_ML": TOKEN,
                "AWS_BEARER_TOKEN_CLEANROOMSML": TOKEN,
                "AWS_AUTH_SCHEME_PREFERENCE": "httpBearerAuth,noauth",
                **nowhere,
            },
        }
        everywhere = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ENDPOINT_URL_CLEANROOMSML": url,
            "AWS_DEFAULT_REGION": "eu-west-3",
            "AWS_REGION": "eu-west-3",
            "AWS_DEFAULTS_MODE": "auto",
            "AWS_MAX_ATTEMPTS": "9",
            "AWS_USE_FIPS_ENDPOINT": "true",
            "AWS_USE_DUALSTACK_ENDPOINT": "true",
        }
        for name, value in (everywhere | sources[request.param]).items():
            monkeypatch.setenv(name, value)
        yield Traps(stub, touched)


async def test_an_ambient_identity_is_never_used(traps: Traps) -> None:
    """Good, refused and unsigned calls alike show the upstream the caller's keys or none."""
    refused = Recorder(lambda _: Response(b'{"__type": "ExpiredTokenException"}', 403))
    served = Recorder(empty_page)
    with serve(served) as url:
        async with open_client(url) as aws:
            await list_jobs(aws, caller("ada"))
            await list_jobs(aws, Caller.from_keys("AKIA0000000000000000", "secret", None))
            with pytest.raises(LookupError):
                await aws._clients[REGION].list_audience_generation_jobs()
    with serve(refused) as url:
        async with open_client(url) as aws:
            with pytest.raises(GatewayError):
                await list_jobs(aws, caller("ada"))

    assert (len(served.requests), len(refused.requests)) == (2, 1)
    assert not [seen for seen in served.requests + refused.requests if CANARY in seen]
    assert all(
        seen.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=A")
        and f"/{REGION}/cleanrooms-ml/" in seen.headers["authorization"]
        for seen in served.requests
    )
    assert traps.stub.requests == []
    assert not traps.touched.exists()


async def test_no_setting_of_aws_s_moves_the_endpoint(traps: Traps) -> None:
    """Without an address of our own, AWS's own endpoint of the region is asked, by TLS."""
    async with open_client(None) as aws:
        endpoint = aws._clients[REGION].meta.endpoint_url

    assert endpoint == f"https://cleanrooms-ml.{REGION}.amazonaws.com"
    assert traps.stub.requests == []


def test_a_service_model_in_somebody_s_home_has_no_say(tmp_path: Path) -> None:
    """What is asked and answered is described by the model that botocore ships."""
    planted = tmp_path / ".aws" / "models" / "cleanroomsml" / "2023-09-06"
    planted.mkdir(parents=True)
    (planted / "service-2.json").write_text(json.dumps({"operations": {}}), encoding="utf-8")
    code = (
        "from gateway.upstream.model import row_shape;"
        "print(row_shape('ListAudienceGenerationJobs').list_member)"
    )
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", code],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "audienceGenerationJobs\n", done.stderr[-300:]
