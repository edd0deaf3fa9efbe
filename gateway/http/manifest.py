"""The file of persisted documents, as the compilers of clients write it.

Sources: `persistConfig` of Relay's compiler; @apollo/generate-persisted-query-manifest.
"""

import json
from codecs import BOM_UTF8
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Any

import orjson

from gateway.graph.execution.documents import DocumentRejectedError, Documents
from gateway.http.parameters import HASH_PREFIX
from gateway.setting_files import read_setting_file
from gateway.settings import SettingsError, variable

SETTING = variable("persisted_documents_file")

ACCEPTED = (
    "Accepted: a JSON object of ids and documents, as Relay's compiler writes it, or the manifest "
    "of @apollo/generate-persisted-query-manifest, version 1"
)
APOLLO_FORMAT = "apollo-persisted-query-manifest"

MAX_ID_CHARACTERS = 80
"""In messages."""


class Manifest:
    """The documents that were deployed, by their ids without `sha256:`."""

    __slots__ = ("documents", "texts")

    def __init__(self, documents: Mapping[str, str]) -> None:
        self.documents = documents
        self.texts = frozenset(documents.values())


class _InvalidError(Exception):
    """The reason why a file cannot be used."""


def read_manifest(
    path: Path, validator: Documents, *, valid_texts: Collection[str] = ()
) -> Manifest:
    """Read a manifest, whose documents must be valid, and within the limits, for `validator`.

    `valid_texts` are known to be valid. Raises SettingsError that names the first document which is
    not.
    """
    try:
        manifest = Manifest(_by_id(_entries(_load(path))))
        _validate(manifest, validator, valid_texts)
    except _InvalidError as error:
        raise SettingsError(f"{SETTING}: {path} {error}.") from None
    return manifest


def _load(path: Path) -> Any:
    try:
        content = read_setting_file(path).removeprefix(BOM_UTF8)
        orjson.loads(content)  # strict, but of a name that occurs twice it shows the last one only
        return json.loads(content, object_pairs_hook=_Object)
    except OSError as error:
        raise _InvalidError(f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise _InvalidError(f"is not JSON. {ACCEPTED}") from None


@dataclass(frozen=True, slots=True)
class _Object:
    """A JSON object, which may have a name twice."""

    members: Sequence[tuple[str, Any]]


def _entries(content: Any) -> Iterator[tuple[str, str]]:
    """Yield the ids and texts in either form."""
    if not isinstance(content, _Object):
        raise _InvalidError(f"is not a manifest. {ACCEPTED}")
    members = dict(content.members)
    is_apollo = members.get("format") == APOLLO_FORMAT
    pairs = _apollo_entries(members) if is_apollo else content.members
    for document_id, text in pairs:
        if not (isinstance(document_id, str) and document_id and isinstance(text, str)):
            raise _InvalidError(f"has an entry without an id or a text. {ACCEPTED}")
        yield document_id, text


def _apollo_entries(members: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    operations = members.get("operations")
    if members.get("version") != 1 or not isinstance(operations, list):
        raise _InvalidError(f"is a manifest of another version. {ACCEPTED}")
    for operation in operations:
        entry = dict(operation.members) if isinstance(operation, _Object) else {}
        yield entry.get("id"), entry.get("body")


def _by_id(entries: Iterable[tuple[str, str]]) -> dict[str, str]:
    documents: dict[str, str] = {}
    for document_id, text in entries:
        key = document_id.removeprefix(HASH_PREFIX)
        if documents.setdefault(key, text) != text:
            raise _InvalidError(
                f"has {_name(key)} twice, with different documents. Accepted: each id once"
            )
    if not documents:
        raise _InvalidError(f"has no documents. {ACCEPTED}, with at least one document")
    return documents


def _validate(manifest: Manifest, validator: Documents, valid_texts: Collection[str]) -> None:
    invalid = []
    for document_id, text in manifest.documents.items():
        if text not in valid_texts:
            try:
                validator.validate(validator.parse(text))
            except DocumentRejectedError as error:
                invalid.append((document_id, error.errors[0].message))
            # Lets the thread that serves requests run, if the file is read again.
            sleep(0)
    if invalid:
        document_id, message = invalid[0]
        count = "an invalid document" if len(invalid) == 1 else f"{len(invalid)} invalid documents"
        raise _InvalidError(
            f"has {count}. Accepted: those that are valid for the schema and within the limits. "
            f"{_name(document_id)}: {message.removesuffix('.')}"
        )


def _name(document_id: str) -> str:
    return f"`{document_id[:MAX_ID_CHARACTERS]}`"
