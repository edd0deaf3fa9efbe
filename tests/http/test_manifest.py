"""The file of persisted documents: both forms are read, and anything else is refused in words."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.graph.execution.documents import Documents
from gateway.graph.schema import build_schema, executable_schema
from gateway.http.manifest import read_manifest
from gateway.setting_files import MAX_FILE_BYTES
from gateway.settings import Settings, SettingsError

SCHEMA = executable_schema(build_schema())
VALID = "{ __typename }"
JOBS = "{ audienceGenerationJobs { nodes { name } } }"


class Counting(Documents):
    """Counts the texts that it validates."""

    def __init__(self) -> None:
        super().__init__(SCHEMA, Settings())
        self.parsed: list[str] = []

    def parse(self, text: str) -> Any:
        self.parsed.append(text)
        return super().parse(text)


VALIDATOR = Documents(SCHEMA, Settings())


def read(path: Path, validator: Documents = VALIDATOR) -> Mapping[str, str]:
    return read_manifest(path, validator).documents


def apollo(documents: Mapping[str, str]) -> dict[str, Any]:
    operations = [
        {"id": document_id, "name": "Jobs", "type": "query", "body": text}
        for document_id, text in documents.items()
    ]
    return {"format": "apollo-persisted-query-manifest", "version": 1, "operations": operations}


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("manifest") / "documents.json"


ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda each: not each.startswith("sha256:")
)
manifests = st.dictionaries(ids, st.sampled_from([VALID, JOBS]), min_size=1)


@given(documents=manifests, prefixed=st.booleans(), is_apollo=st.booleans())
def test_ids_are_those_of_the_file(
    path: Path, documents: dict[str, str], *, prefixed: bool, is_apollo: bool
) -> None:
    """Without the prefix of a hash, in either form."""
    prefix = "sha256:" * prefixed
    content = {f"{prefix}{each}": text for each, text in documents.items()}
    path.write_text(json.dumps(apollo(content) if is_apollo else content), encoding="utf-8")

    assert read(path) == documents


def test_a_byte_order_mark_is_skipped(path: Path) -> None:
    path.write_text(json.dumps({"a": VALID}), encoding="utf-8-sig")

    assert read(path) == {"a": VALID}


def test_an_id_may_occur_twice_with_the_same_text(path: Path) -> None:
    path.write_text(f'{{"a": "{VALID}", "sha256:a": "{VALID}", "a": "{VALID}"}}')

    assert read(path) == {"a": VALID}


REFUSED: dict[str, tuple[str, str]] = {
    "no JSON": ("{", "is not JSON"),
    "not UTF-8": ('"\ud800"', "is not JSON"),
    "half a character": ('{"a": "\\ud800"}', "is not JSON"),
    "nested without end": ("[" * 100_000, "is not JSON"),
    "a list": ("[]", "is not a manifest"),
    "a text": ('"x"', "is not a manifest"),
    "empty": ("{}", "has no documents"),
    "no operations": (json.dumps(apollo({})), "has no documents"),
    "a text that is none": ('{"a": 1}', "an entry without an id or a text"),
    "an empty id": (json.dumps({"": VALID}), "an entry without an id or a text"),
    "an operation without a body": (
        json.dumps({**apollo({}), "operations": [{"id": "a"}]}),
        "an entry without an id or a text",
    ),
    "an operation that is none": (
        json.dumps({**apollo({}), "operations": ["a"]}),
        "an entry without an id or a text",
    ),
    "another version": (json.dumps({**apollo({"a": VALID}), "version": 2}), "another version"),
    "operations that are no list": (
        json.dumps({**apollo({}), "operations": {}}),
        "another version",
    ),
    "an id twice": (f'{{"a": "{VALID}", "a": "{JOBS}"}}', "has `a` twice"),
    "an id with and without prefix": (
        json.dumps(apollo({"a": VALID, "sha256:a": JOBS})),
        "has `a` twice",
    ),
    "no GraphQL": (json.dumps({"a": VALID, "b": "{"}), "an invalid document.*`b`: Syntax Error"),
    "an unknown field": (
        json.dumps({"a": "{ nothing }", "b": "{ nothing }"}),
        "2 invalid documents.*`a`: Cannot query field",
    ),
    "introspection, which is off": (
        json.dumps({"a": "{ __schema { description } }"}),
        "`a`: .*introspection",
    ),
    "over a limit": (
        json.dumps({"a": f"{{ {'a: __typename ' * 2000} }}"}),
        "`a`: .*GATEWAY_LIMIT_TOKENS",
    ),
    "an endless id": (json.dumps({"a" * 1000: "{"}), "`a{80}`: "),
}


@pytest.mark.parametrize(("content", "words"), REFUSED.values(), ids=REFUSED)
def test_anything_else_is_refused_in_words(path: Path, content: str, words: str) -> None:
    path.write_bytes(content.encode("utf-8", "surrogatepass"))

    with pytest.raises(SettingsError, match=words) as raised:
        read(path)

    message = str(raised.value)
    assert message.startswith(f"GATEWAY_PERSISTED_DOCUMENTS_FILE: {path} ")
    assert "Accepted: " in message
    assert "\n" not in message


def test_a_file_that_is_too_large_is_refused(path: Path) -> None:
    path.write_text(json.dumps({"a": f"{VALID} #{'x' * MAX_FILE_BYTES}"}))

    with pytest.raises(SettingsError, match=f"too large. Accepted: up to {MAX_FILE_BYTES} bytes"):
        read(path)


def test_a_document_may_use_what_the_settings_allow(path: Path) -> None:
    node = "query Again($id: ID!) { node(id: $id) { id } }"
    path.write_text(json.dumps({"a": "{ __schema { description } }", "b": node}))

    assert set(read(path, Documents(SCHEMA, Settings(introspection=True)))) == {"a", "b"}


def test_texts_that_are_known_to_be_valid_are_not_validated_again(path: Path) -> None:
    path.write_text(json.dumps({"a": VALID, "b": JOBS}))
    validator = Counting()
    read_manifest(path, validator, valid_texts={VALID})

    assert validator.parsed == [JOBS]
