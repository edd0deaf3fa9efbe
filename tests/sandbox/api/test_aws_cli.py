"""The stock AWS CLI takes the sandbox for Clean Rooms ML."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.sandbox import CALLERS, SandboxCaller

AWS = Path(sys.executable).parent / "aws"


def aws(url: str, caller: SandboxCaller, home: Path, *arguments: str) -> Any:
    """Run the AWS CLI with nothing but this caller in its environment."""
    command = [str(AWS), "cleanroomsml", *arguments, "--endpoint-url", url, "--output", "json"]
    environment = {
        "HOME": str(home),
        "PATH": str(AWS.parent),
        "AWS_ACCESS_KEY_ID": caller.access_key_id,
        "AWS_SECRET_ACCESS_KEY": caller.secret_access_key,
        "AWS_SESSION_TOKEN": caller.session_token or "",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    ended = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)  # noqa: S603 - our own words
    assert ended.returncode == 0, ended.stderr.decode()
    return json.loads(ended.stdout)


@pytest.mark.skipif(not AWS.exists(), reason="the AWS CLI is not installed beside Python")
def test_the_aws_cli_lists_and_gets(url: str, tmp_path: Path) -> None:
    """The CLI pages through a list, and gets an object whose ARN is part of the path."""
    caller = CALLERS["edith"]
    listed = aws(url, caller, tmp_path, "list-audience-generation-jobs", "--page-size", "3")
    job = listed["audienceGenerationJobs"][0]
    arn = job["audienceGenerationJobArn"]

    got = aws(
        url, caller, tmp_path, "get-audience-generation-job", "--audience-generation-job-arn", arn
    )

    assert len(listed["audienceGenerationJobs"]) == 7
    assert job.items() <= got.items()
