"""Manifests of persisted documents, made by the tools of clients from the documents beside this."""

import json
import shutil
from pathlib import Path

from tests.clients.running import CLIENTS, NODE, compile_for_relay, output_of


def relay_manifest(folder: Path, schema: str) -> tuple[Path, Path]:
    """Let Relay's compiler write a manifest; return it and the folder of what else was made."""
    file = folder / "documents.json"
    file.write_text("{}")
    persist = {"file": "./documents.json", "algorithm": "SHA256"}
    return file, compile_for_relay(folder, schema, persistConfig=persist)


def apollo_manifest(folder: Path) -> Path:
    """Let Apollo's generator write a manifest of `persisted/documents.js`."""
    shutil.copy(CLIENTS / "persisted/documents.js", folder)
    config = folder / "persisted-query-manifest.config.json"
    config.write_text(json.dumps({"documents": ["documents.js"], "output": "manifest.json"}))
    (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    generator = CLIENTS / "node_modules/@apollo/generate-persisted-query-manifest/cli.js"
    output_of(NODE, "node", generator, "--config", config, cwd=folder)
    return folder / "manifest.json"
