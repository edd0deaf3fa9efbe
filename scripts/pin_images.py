"""Pin the base images of the Dockerfile to what their tags name now.

    make digests

Needs Docker with buildx, and the registry of the images.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

DOCKERFILE = Path(__file__).resolve().parents[1] / "Dockerfile"
BASE = re.compile(r"^(ARG [A-Z]+_IMAGE=)([^@\s]+)(?:@\S+)?$", re.MULTILINE)
"""The base images, with their tags and perhaps their digests."""


def pinned(dockerfile: str) -> str:
    """Return the text of a Dockerfile with the current digest of each base image."""
    return BASE.sub(lambda base: f"{base[1]}{base[2]}@{_digest(base[2])}", dockerfile)


def _digest(image: str) -> str:
    # The digest of the index, which is that of all architectures.
    command = ["docker", "buildx", "imagetools", "inspect", image, "--format", "{{json .Manifest}}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(f"{image}: {done.stderr.strip()}")
    digest = json.loads(done.stdout).get("digest")
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", str(digest)):
        sys.exit(f"{image}: the registry returned no digest")
    print(f"{image}: {digest}")
    return str(digest)


def main() -> None:
    try:
        text = pinned(DOCKERFILE.read_text("utf-8"))
    except FileNotFoundError:
        sys.exit("Docker with buildx is needed to look up digests, and is not on PATH")
    DOCKERFILE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
