"""Cursors survive the round trip, and no other text is accepted."""

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
positions = st.builds(
    CursorPosition,
    tokens,
    st.integers(0, 100),
    st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES),
)


def read(text: str) -> CursorPosition:
    return decode_cursor(LISTING, text, argument="after")


@given(positions)
@example(CursorPosition("+/=%" * 2560, 100, NO_ITEM))
@example(CursorPosition("é" * 10240, 3, NO_ITEM))
def test_a_position_survives_the_round_trip(position: CursorPosition) -> None:
    """Tokens may have any characters, and the length of the longest that AWS returns."""
    assert read(encode_cursor(LISTING, position)) == position


@given(positions, st.data())
def test_any_change_of_any_character_is_rejected(
    position: CursorPosition, data: st.DataObject
) -> None:
    """No cursor with a dropped, inserted or other character decodes to another position."""
    text = encode_cursor(LISTING, position)
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
    """This includes text that cannot be encoded as ASCII."""
    with pytest.raises(InvalidCursorError):
        read(text)


@given(positions, st.binary(min_size=1, max_size=80))
def test_no_other_bytes_are_a_cursor(position: CursorPosition, raw: bytes) -> None:
    """This includes well-formed base64url."""
    text = urlsafe_b64encode(raw + bytes(-len(raw) % 3)).decode()
    assume(text != encode_cursor(LISTING, position))
    with pytest.raises(InvalidCursorError):
        read(text)


def test_a_cursor_that_is_too_long_is_rejected() -> None:
    with pytest.raises(InvalidCursorError):
        read("A" * (MAX_CURSOR_CHARACTERS + 4))


@given(positions)
@pytest.mark.parametrize(
    "other",
    [
        Listing("ListAudienceExportJobs", "us-east-1"),
        Listing("ListAudienceGenerationJobs", "eu-west-1"),
        Listing("ListAudienceGenerationJobs", "us-east-1", (("collaborationId", "x"),)),
    ],
    ids=["operation", "region", "filter"],
)
def test_a_cursor_is_valid_for_its_own_list_only(other: Listing, position: CursorPosition) -> None:
    """The error distinguishes another operation, region or filter from damage."""
    text = encode_cursor(listing_digest(other), position)
    with pytest.raises(InvalidCursorError, match="another list"):
        read(text)


def test_the_cursors_of_a_page_have_a_common_prefix() -> None:
    """This makes responses compress well."""
    token = "a token of the upstream"
    cursors = PageCursors(LISTING, token)
    digests = [item_digest("a"), item_digest("b")]
    texts = [(cursors.common + tail).decode() for tail in cursors.tails([1, 2], digests)]
    positions = [CursorPosition(token, *each) for each in zip([1, 2], digests, strict=True)]
    assert texts == [encode_cursor(LISTING, each) for each in positions]
    assert texts[0][:-24] == texts[1][:-24] == cursors.common.decode()
    assert len(cursors.common) > len(token)


def test_the_encoding_has_not_changed() -> None:
    """Clients keep cursors, so those of earlier versions of the gateway must stay valid."""
    position = CursorPosition("a token of the upstream", 99, item_digest("arn"))
    assert encode_cursor(b"list" * 2, position) == (
        "AWxpc3RsaXN0AAAXYSB0b2tlbiBvZiB0aGUgdXBzdHJlYW0AAGOt-uXVxavI3jDKIVBT1QCM"
    )
