"""Cursors survive the round trip, and nothing else does."""

import string
from base64 import urlsafe_b64encode

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gateway.errors import InvalidCursorError
from gateway.graph.pagination.cursor import (
    DIGEST_BYTES,
    MAX_CURSOR_CHARACTERS,
    NO_ITEM,
    CursorPosition,
    PageCursors,
    decode_cursor,
    encode_cursor,
    item_digest,
    listing_digest,
)
from gateway.upstream.values import Listing

LISTING = listing_digest(Listing("ListAudienceGenerationJobs", "us-east-1"))

tokens = st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)
places = st.builds(
    CursorPosition,
    tokens,
    st.integers(0, 100),
    st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES),
)


def read(text: str) -> CursorPosition:
    """Read a cursor of the list under test."""
    return decode_cursor(LISTING, text, argument="after")


@given(places)
@example(CursorPosition("+/=%" * 2560, 100, NO_ITEM))
@example(CursorPosition("é" * 10240, 3, NO_ITEM))
def test_a_place_survives_the_round_trip(place: CursorPosition) -> None:
    """Tokens of any characters, up to the longest the upstream writes, come back as they were."""
    assert read(encode_cursor(LISTING, place)) == place


@given(places, st.data())
def test_any_change_of_any_character_is_refused(place: CursorPosition, data: st.DataObject) -> None:
    """Replaced, dropped, doubled or swapped: no damaged cursor is ever read as another place."""
    text = encode_cursor(LISTING, place)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from(string.ascii_letters + string.digits + "-_+/=. \n\u212a"))
    damaged = data.draw(
        st.sampled_from(
            [
                text[:at] + other + text[at + 1 :],
                text[:at] + text[at + 1 :],
                text[:at] + other + text[at:],
                text[:at],
                text[at:] + text[:at],
                text + other,
                text.swapcase(),
            ]
        )
    )
    assume(damaged != text)
    with pytest.raises(InvalidCursorError, match="after"):
        read(damaged)


@given(st.text(max_size=200) | st.binary(max_size=200).map(bytes.hex))
def test_no_other_text_is_a_cursor(text: str) -> None:
    """Any text at all, also one that cannot be encoded, is refused in one way."""
    with pytest.raises(InvalidCursorError):
        read(text)


@given(places, st.binary(min_size=1, max_size=80))
def test_no_other_bytes_are_a_cursor(place: CursorPosition, raw: bytes) -> None:
    """Well-formed base64url of other bytes is refused likewise."""
    text = urlsafe_b64encode(raw + bytes(-len(raw) % 3)).decode()
    assume(text != encode_cursor(LISTING, place))
    with pytest.raises(InvalidCursorError):
        read(text)


def test_a_cursor_too_long_to_be_one_is_refused() -> None:
    """The length is looked at before anything else."""
    with pytest.raises(InvalidCursorError):
        read("A" * (MAX_CURSOR_CHARACTERS + 4))


@given(places)
@pytest.mark.parametrize(
    "other",
    [
        Listing("ListAudienceExportJobs", "us-east-1"),
        Listing("ListAudienceGenerationJobs", "eu-west-1"),
        Listing("ListAudienceGenerationJobs", "us-east-1", (("collaborationId", "x"),)),
    ],
    ids=["operation", "region", "filter"],
)
def test_a_cursor_is_good_for_its_own_list_only(other: Listing, place: CursorPosition) -> None:
    """Another operation, region or filter is told apart from damage."""
    text = encode_cursor(listing_digest(other), place)
    with pytest.raises(InvalidCursorError, match="another list"):
        read(text)


def test_the_cursors_of_a_page_begin_alike() -> None:
    """The token's part is the same text for each edge, so that an answer compresses."""
    writer = PageCursors(LISTING, "a token of the upstream")
    one, two = writer.encode(1, item_digest("a")), writer.encode(2, item_digest("b"))
    assert one != two
    assert one[:-24] == two[:-24]
    assert len(one) - 24 > len("a token of the upstream")
