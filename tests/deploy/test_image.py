"""The content of the image, without Docker: the wheel and its locked packages.

They are installed as in the Dockerfile, and run by another user without capabilities on a read-only
file system.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement

from gateway import __version__
from scripts.pin_images import BASE
from tests.gateways import Gateway, Sandbox
from tests.hostile.target import JOBS
from tests.makefile import recipe
from tests.processes import Process, process, until
from tests.programs import needs

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
USER = "65532"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = [name for name in PROJECT["optional-dependencies"] if name != "dev"]
LOCKED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[.*\])?==([^\s;\\]+)", re.MULTILINE)
INSTALL_SECONDS = 300
MAX_MEGABYTES = 110
"""Size that the program adds to its base image; a guard against unnoticed dependencies."""


def run(*command: str | Path) -> str:
    done = subprocess.run(  # noqa: S603
        command, cwd=ROOT, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the image has as /opt/gateway."""
    folder = tmp_path_factory.mktemp("image")
    program, wheels = folder / "gateway", folder / "wheels"
    run(sys.executable, "-m", "venv", program)
    pip = (program / "bin/python", "-m", "pip", "--disable-pip-version-check", "install")
    run(*pip, "--require-hashes", "-r", "requirements/runtime.txt")
    run("scripts/shrink", program)
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", wheels)
    run(*pip, "--no-deps", *wheels.glob("*.whl"))
    run(program / "bin/python", "-m", "compileall", "-q", program / "lib")
    run(program / "bin/python", "-m", "pip", "uninstall", "--yes", "pip")
    return program


def confined(*command: str) -> list[str]:
    """Return the command that runs another one as the image does with --read-only."""
    # In its own PID namespace, so that its child processes end with it.
    apart = f"--unshare-pid --unshare-user --uid {USER} --gid {USER} --cap-drop ALL"
    options = f"--ro-bind / / --dev /dev --proc /proc {apart} --die-with-parent --"
    return [needs("bwrap"), *options.split(), *command]


def environment(program: Path) -> dict[str, str]:
    (line,) = re.findall(r"^ENV (.*)$", DOCKERFILE, re.MULTILINE)
    variables = dict(each.split("=", 1) for each in line.split())
    return {**variables, "PATH": f"{program / 'bin'}:{os.environ['PATH']}"}


@contextmanager
def image(program: Path, *options: str, settings: Mapping[str, str]) -> Iterator[Process]:
    command = confined(str(program / "bin/gateway"), "serve", "--port", "0", *options)
    with process(command, {**environment(program), **settings}) as running:
        yield running


def is_ready(gateway: Gateway) -> bool:
    try:
        return gateway.send("GET", "/readyz").status == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("workers", [1, 2])
def test_it_serves_without_privileges_on_a_read_only_file_system(
    installed: Path, sandbox: Sandbox, workers: int
) -> None:
    settings = {"GATEWAY_UPSTREAM_URL": sandbox.url, "GATEWAY_DRAIN_SECONDS": "0"}
    with image(installed, f"--workers={workers}", settings=settings) as program:
        gateway = Gateway(program.url, sandbox)
        until(lambda: is_ready(gateway))
        assert gateway.ask(JOBS).errors == []


def test_the_confinement_is_effective(installed: Path, tmp_path: Path) -> None:
    """The previous test depends on this."""
    script = (
        "import os, pathlib; print(os.getuid(), os.getgid());"
        "print(*[l for l in open('/proc/self/status') if l.startswith(('CapEff', 'NoNewPrivs'))]);"
        f"pathlib.Path({str(tmp_path / 'it')!r}).write_text('x')"
    )
    tried = subprocess.run(  # noqa: S603
        confined(str(installed / "bin/python"), "-c", script),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert tried.stdout.split() == [USER, USER, "CapEff:", "0" * 16, "NoNewPrivs:", "1"]
    assert "Read-only file system" in tried.stderr


def test_the_installation_is_complete_and_minimal(installed: Path) -> None:
    """Any user can read it; it has GraphiQL, no build tools, and a limited size."""
    files = [path for path in installed.rglob("*") if not path.is_symlink()]
    size = sum(path.stat().st_size for path in files if path.is_file()) / 2**20
    hidden = [path for path in files if not path.stat().st_mode & stat.S_IROTH]
    packages = {path.name for path in installed.glob("lib/python*/site-packages/*")}

    assert hidden == []
    assert not packages & {"pip", "hatchling", "pytest", "moto", "playwright"}
    assert list(installed.glob("lib/python*/site-packages/gateway/http/explorer/index.html"))
    assert size < MAX_MEGABYTES, f"{size:.0f} MB"


def test_the_dockerfile_installs_the_same_way() -> None:
    """It copies only files that exist and are not ignored."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    copied = [
        name
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
        for name in line.split()[:-1]
    ]

    assert [name for name in copied if not (ROOT / name).exists() or name in ignored] == []
    assert "--require-hashes -r requirements/${EXTRAS:-runtime}.txt" in DOCKERFILE
    assert "scripts/shrink /opt/gateway" in DOCKERFILE
    assert "--no-deps /tmp/wheel/*.whl" in DOCKERFILE
    assert "-m compileall -q /opt/gateway/lib" in DOCKERFILE
    assert f"USER {USER}:{USER}\n" in DOCKERFILE


def locked(name: str) -> set[tuple[str, str]]:
    return set(LOCKED.findall((ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8")))


@pytest.mark.parametrize("extra", EXTRAS)
def test_each_extra_can_be_built_into_the_image(extra: str) -> None:
    """In the versions that the tests run with; without it the image has none of its packages."""
    names = {name for name, _ in locked(extra)}
    wanted = {Requirement(each).name for each in PROJECT["optional-dependencies"][extra]}

    assert locked("runtime") < locked(extra) < locked("dev")
    assert wanted <= names
    assert not wanted & {name for name, _ in locked("runtime")}
    assert "ARG EXTRAS=\n" in DOCKERFILE


def test_the_image_is_labelled() -> None:
    """`make image` fills in what is not known before."""
    (labels,) = re.findall(r"^LABEL ((?:.*\\\n)*.*)$", DOCKERFILE, re.MULTILINE)
    values = dict(re.findall(r"org\.opencontainers\.image\.(\w+)=\"(.*?)\"", labels))
    command = recipe("image", "SOURCE=https://example.com/it")
    given = dict(re.findall(r"--build-arg (\w+)=(\S*)", command))
    declared = re.findall(
        r"(\w+)=(?:\s|$)", *re.findall(r"^ARG (VERSION.*)$", DOCKERFILE, re.MULTILINE)
    )

    assert values["licenses"] == PROJECT["license"]
    assert {*declared, "EXTRAS"} == set(given)
    assert {f"${name}" for name in declared} == {each for each in values.values() if "$" in each}
    assert set(values) >= {"title", "description", "version", "revision", "source", "created"}
    assert given["VERSION"] == __version__
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", given["CREATED"])
    assert f"--tag audience-gateway:{__version__} " in command


def test_the_image_can_be_built_for_several_architectures() -> None:
    """The page is built once, on the machine that builds."""
    options = ("PLATFORMS=linux/amd64,linux/arm64", "BUILD=--push", "IMAGE=example.com/it")
    command = recipe("image", *options)

    assert "build --push --platform linux/amd64,linux/arm64 --tag example.com/it:" in command
    assert "FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS explorer" in DOCKERFILE


def test_base_images_are_pinned_by_one_command(tmp_path: Path) -> None:
    """To what Docker finds; the tag stays, for the next time."""
    stages = re.findall(r"^FROM (?:--\S+ )?(\S+)", DOCKERFILE, re.MULTILINE)
    names = {
        f"${{{base[1].removeprefix('ARG ').rstrip('=')}}}" for base in BASE.finditer(DOCKERFILE)
    }
    copy = tmp_path / "scripts/pin_images.py"
    copy.parent.mkdir()
    shutil.copy(ROOT / "scripts/pin_images.py", copy)
    docker = tmp_path / "docker"
    pinned: list[str] = []
    for digit in "12":
        digest = f"sha256:{digit * 64}"
        docker.write_text(f"""#!/bin/sh\necho '{{"digest": "{digest}", "asked": "'"$4"'"}}'\n""")
        docker.chmod(0o755)
        (tmp_path / "Dockerfile").write_text(pinned[-1] if pinned else DOCKERFILE)
        run("env", f"PATH={tmp_path}:{os.environ['PATH']}", sys.executable, copy)
        pinned.append((tmp_path / "Dockerfile").read_text())

    assert set(stages) == names
    assert [
        text.count(f"-slim@sha256:{digit * 64}\n") for text, digit in zip(pinned, "12", strict=True)
    ] == [2, 2]
    assert pinned[0].replace("1" * 64, "2" * 64) == pinned[1]
    assert re.sub("@sha256:1+", "", pinned[0]) == re.sub("@sha256:[0-9a-f]+", "", DOCKERFILE)


def test_digests_that_cannot_be_looked_up_change_nothing() -> None:
    """Nor is one made up."""
    command = [sys.executable, "scripts/pin_images.py"]
    done = subprocess.run(  # noqa: S603
        command, cwd=ROOT, env={"PATH": ""}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "Docker with buildx is needed" in done.stderr
    assert (ROOT / "Dockerfile").read_text(encoding="utf-8") == DOCKERFILE
