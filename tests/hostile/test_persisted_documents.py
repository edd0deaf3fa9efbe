"""Floods of documents that are sent with their hash."""

import tracemalloc
from collections.abc import Iterable

import pytest

from gateway.graph.execution.documents import MAX_DOCUMENT_CHARACTERS
from gateway.http.middleware import RequestLog
from gateway.http.parameters import Parameters
from gateway.http.persisted_documents import (
    MAX_REMEMBERED_BYTES,
    PersistedDocuments,
    RequestedDocument,
)
from gateway.http.responses import HttpError
from tests.http.persisted import hash_of

FLOOD, QUIET = b"a caller with many documents", b"a caller with few"


def texts(count: int, characters: int, padding: str = "x") -> Iterable[str]:
    for number in range(count):
        beginning = f"{{ a{number}: __typename }} #"
        yield beginning + padding * (characters - len(beginning))


def remember(documents: PersistedDocuments, sent: Iterable[str], caller: bytes) -> list[str]:
    """Remember documents, and return their hashes."""
    hashes = []
    for text in sent:
        hashes.append(hash_of(text))
        documents.remember(RequestedDocument(text, hashes[-1]), caller)
    return hashes


def found(documents: PersistedDocuments, hashes: Iterable[str]) -> int:
    """Return how many documents are found by their hashes."""
    return sum(is_found(documents, each) for each in hashes)


def is_found(documents: PersistedDocuments, document_hash: str) -> bool:
    parameters = Parameters("", document_hash, None, {})
    try:
        text = documents.find(parameters, (), RequestLog()).text
    except HttpError:
        return False
    assert hash_of(text) == document_hash
    return True


@pytest.mark.parametrize(
    ("count", "characters", "padding", "callers"),
    [
        (6_000, 30, "x", 1),
        (6_000, 30, "x", 6_000),
        (4_000, 2_000, "x", 10),
        (50, MAX_DOCUMENT_CHARACTERS, "x", 1),
        (50, MAX_DOCUMENT_CHARACTERS, "\U0001f4a5", 1),
    ],
    ids=["short", "of many callers", "of a usual length", "the longest", "in wide characters"],
)
def test_the_memory_of_a_flood_is_bounded(
    count: int, characters: int, padding: str, callers: int
) -> None:
    documents = PersistedDocuments()
    tracemalloc.start()
    try:
        for number, text in enumerate(texts(count, characters, padding)):
            remember(documents, [text], b"caller %d" % (number % callers))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert taken < MAX_REMEMBERED_BYTES


def test_a_flood_forgets_its_own_documents() -> None:
    """Those of another caller, who has few, stay, and so do those that are used meanwhile."""
    documents = PersistedDocuments()
    quiet = remember(documents, texts(100, 3_000), QUIET)
    used = remember(documents, texts(10, 3_100), FLOOD)
    for characters in range(3_200, 3_240):
        remember(documents, texts(50, characters), FLOOD)
        assert found(documents, used) == len(used)

    assert found(documents, quiet) == len(quiet)


def test_a_document_of_the_largest_size_is_remembered() -> None:
    documents = PersistedDocuments()
    hashes = remember(documents, texts(1, MAX_DOCUMENT_CHARACTERS, "\U0001f4a5"), QUIET)

    assert found(documents, hashes) == 1
