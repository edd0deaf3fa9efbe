"""Installed from a clone in a new environment, `gateway dev` shows GraphiQL with data.

    make test-install

Apart from the other tests, because each installation takes half a minute.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser import browser_page
from tests.processes import clean_environment, process

ROOT = Path(__file__).parents[2]
SECONDS = 600
SYSTEM = Path("/usr/bin")


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(  # noqa: S603
        command,
        cwd=cwd,
        env={**os.environ, **environment},  # installers need its proxies and authorities
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a copy of the files that are, or would be, in git."""
    names = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in names.splitlines():
        if (ROOT / name).exists():
            (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / "clone" / name)
    return tmp_path / "clone"


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """Return the programs of a new virtual environment."""
    run(sys.executable, "-m", "venv", tmp_path / "environment", cwd=tmp_path)
    return tmp_path / "environment/bin"


@pytest.fixture
def without_node(tmp_path: Path) -> str:
    """Return a PATH on which everything is but Node."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for program in SYSTEM.iterdir():
        if program.name not in {"node", "nodejs", "npm", "npx"}:
            (folder / program.name).symlink_to(program)
    return str(folder)


async def graphiql_shows_jobs(gateway: Path, **environment: str) -> None:
    command = [str(gateway), "dev", "--port", "0", "--sandbox-port", "0"]
    settings = {**clean_environment(), **environment}
    with process(command, settings, ready=re.compile("Ctrl-C")) as started:
        (url,) = re.findall(r"^  (http://\S+/graphql)$", "".join(started.output), re.MULTILINE)
        async with browser_page() as visit:
            await visit.page.goto(url)
            await expect(
                visit.page.locator(".graphiql-query-editor .view-line").first
            ).to_be_visible()
            await visit.page.get_by_role("button", name="Execute query").click()
            response = visit.page.locator(".graphiql-response")
            await expect(response).to_contain_text('"status":')
            assert visit.errors == []


async def test_pip_installs_a_clone(clone: Path, environment: Path) -> None:
    """And then tracing, as an extra."""
    run(environment / "pip", "install", ".", cwd=clone)
    await graphiql_shows_jobs(environment / "gateway")
    run(environment / "pip", "install", ".[otel]", cwd=clone)
    await graphiql_shows_jobs(environment / "gateway", GATEWAY_TRACE_RATIO="1")


async def test_uv_installs_a_clone_as_a_tool(
    clone: Path, environment: Path, without_node: str
) -> None:
    """Where Node is not installed, it comes from PyPI for the time of the build."""
    run(environment / "pip", "install", "uv", cwd=clone)
    tools = clone.parent / "tools"
    folders = {"UV_TOOL_DIR": str(tools), "UV_TOOL_BIN_DIR": str(tools / "bin")}
    uv = (environment / "uv", "tool", "install", "--python", environment / "python")
    run(*uv, ".", cwd=clone, PATH=without_node, **folders)
    await graphiql_shows_jobs(tools / "bin/gateway")
