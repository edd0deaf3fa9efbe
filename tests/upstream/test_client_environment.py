"""The environment's AWS credentials and settings are never used."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import NoCredentialsError
from starlette.responses import Response

from gateway.auth.credentials import Caller
from gateway.errors import GatewayError
from gateway.upstream.client import aws_client, aws_session
from gateway.upstream.model import SERVICE
from tests.aws_environment import CANARY, SOURCES, Traps, aws_environment
from tests.serving import serve
from tests.upstream.clients import REGION, caller, list_jobs, open_client
from tests.upstream.recorder import Recorder, empty_page


@pytest.fixture(params=SOURCES)
def traps(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Traps]:
    with aws_environment(request.param, tmp_path, monkeypatch) as traps:
        yield traps


async def test_credentials_of_the_environment_are_never_used(traps: Traps) -> None:
    """Calls have the caller's, whether they succeed or fail; without a caller none is made."""
    rejecting = Recorder(lambda _: Response(b'{"__type": "ExpiredTokenException"}', 403))
    served = Recorder(empty_page)
    with serve(served) as url:
        async with open_client(url) as aws:
            await list_jobs(aws, caller("ada"))
            await list_jobs(aws, Caller.from_keys("AKIA0000000000000000", "secret", None))
        async with aws_client(aws_session(), SERVICE, REGION, url) as client:
            with pytest.raises(NoCredentialsError):
                await client.list_audience_generation_jobs()
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
    traps.check()


async def test_aws_settings_do_not_change_the_endpoint(traps: Traps) -> None:
    """Without a URL of our own, it is the regional endpoint of AWS, over TLS."""
    async with open_client(None) as aws:
        endpoint = aws.address(REGION)

    assert endpoint == f"https://cleanrooms-ml.{REGION}.amazonaws.com"
    traps.check()


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
