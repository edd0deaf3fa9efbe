"""The environment's AWS credentials and settings are never used."""

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
    """What shows that a source of credentials was used: requests to a stub, or a file."""

    stub: Recorder
    touched: Path


def _respond(received: Received) -> Response:
    if received.path.endswith("/security-credentials/"):
        return Response(b"canary-role", media_type="text/plain")
    keys = {"AccessKeyId": KEY_ID, "SecretAccessKey": SECRET, "Token": TOKEN}
    return JSONResponse({**keys, "Expiration": "2999-01-01T00:00:00Z", "Code": "Success"})


@pytest.fixture(params=["variables", "profile", "container", "instance", "bearer"])
def traps(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Traps]:
    """Make one source the first choice of botocore's default chain."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    stub, touched, file = Recorder(_respond), tmp_path / "touched", tmp_path / "aws"
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


async def test_credentials_of_the_environment_are_never_used(traps: Traps) -> None:
    """Calls have the caller's, whether they succeed or fail; without a caller none is made."""
    rejecting = Recorder(lambda _: Response(b'{"__type": "ExpiredTokenException"}', 403))
    served = Recorder(empty_page)
    with serve(served) as url:
        async with open_client(url) as aws:
            await list_jobs(aws, caller("ada"))
            await list_jobs(aws, Caller.from_keys("AKIA0000000000000000", "secret", None))
            with pytest.raises(LookupError):
                await aws._clients[REGION].list_audience_generation_jobs()
    with serve(rejecting) as url:
        async with open_client(url) as aws:
            with pytest.raises(GatewayError):
                await list_jobs(aws, caller("ada"))

    assert (len(served.requests), len(rejecting.requests)) == (2, 1)
    assert not [request for request in served.requests + rejecting.requests if CANARY in request]
    assert all(
        request.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=A")
        and f"/{REGION}/cleanrooms-ml/" in request.headers["authorization"]
        for request in served.requests
    )
    assert traps.stub.requests == []
    assert not traps.touched.exists()


async def test_aws_settings_do_not_change_the_endpoint(traps: Traps) -> None:
    """Without a URL of our own, it is the regional endpoint of AWS, over TLS."""
    async with open_client(None) as aws:
        endpoint = aws._clients[REGION].meta.endpoint_url

    assert endpoint == f"https://cleanrooms-ml.{REGION}.amazonaws.com"
    assert traps.stub.requests == []


def test_a_service_model_in_the_home_directory_is_ignored(tmp_path: Path) -> None:
    planted = tmp_path / ".aws" / "models" / "cleanroomsml" / "2023-09-06"
    planted.mkdir(parents=True)
    (planted / "service-2.json").write_text(json.dumps({"operations": {}}), encoding="utf-8")
    code = (
        "from gateway.upstream.model import row_shape;"
        "print(row_shape('ListAudienceGenerationJobs').list_member)"
    )
    process = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", code],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.stdout == "audienceGenerationJobs\n", process.stderr[-300:]
