"""The commands of the examples' READMEs that put a production build into service."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from gateway.dev import aws_headers
from gateway.sandbox import CALLERS
from tests.examples.app import EXAMPLES, PREVIEW, ROOT
from tests.gateways import TIMEOUT_SECONDS, TLS, Sandbox
from tests.processes import SERVING, Process, clean_environment, process

SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)


@contextmanager
def run(command: str, ready: re.Pattern[str], **variables: str) -> Iterator[Process]:
    """Run a documented command from the root of the repository."""
    shell = [str(ROOT / "scripts/with-node"), "bash", "-c", command]
    environment = clean_environment() | {"NO_COLOR": "1"} | variables
    with process(shell, environment, folder=ROOT, ready=ready) as started:
        yield started


@pytest.mark.parametrize("name", ["relay", "apollo"])
def test_the_build_is_served_as_the_readme_says(name: str, sandbox: Sandbox) -> None:
    """In front of a gateway that executes the documents of the build and no others."""
    readme = (EXAMPLES / name / "README.md").read_text("utf-8")
    serve, preview = SHELL.findall(readme)[2:]
    serve = f"{serve.rstrip()} --port 0"
    with run(serve, SERVING, GATEWAY_UPSTREAM_URL=sandbox.url) as gateway:
        preview = preview.rstrip().replace("http://127.0.0.1:8000", gateway.url)
        with run(f"{preview} -- --port=0", PREVIEW) as page:
            html = httpx.get(page.url, verify=TLS, timeout=TIMEOUT_SECONDS)
            answers = [
                httpx.post(
                    f"{page.url}/graphql",
                    json=request,
                    headers=aws_headers(CALLERS["edith"]),
                    verify=TLS,
                    timeout=TIMEOUT_SECONDS,
                ).json()
                for request in (
                    {"documentId": list_of_jobs(name), "variables": {"first": 2}},
                    OTHER,
                )
            ]

    assert "default-src 'none'" in html.headers["content-security-policy"]
    assert len(answers[0]["data"]["audienceGenerationJobs"]["edges"]) == 2
    assert answers[1]["errors"][0]["extensions"]["code"] == "FORBIDDEN"


OTHER = {"query": "{ audienceGenerationJobs(first: 1) { nodes { name } } }"}


def list_of_jobs(name: str) -> str:
    """Return the id of the query for the table, in the form of either compiler's manifest."""
    documents = json.loads((EXAMPLES / name / "persisted-documents.json").read_text("utf-8"))
    if name == "apollo":
        documents = {each["id"]: each["body"] for each in documents["operations"]}
    (found,) = (
        id_ for id_, text in documents.items() if re.match(r"query JobList(Query)?\(", text)
    )
    return str(found)
