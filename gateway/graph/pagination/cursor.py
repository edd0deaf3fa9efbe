"""Cursors: a place between two items of an upstream list, and its form as text.

A cursor needs no secret: AWS authorises each call by the caller's own credentials. Its
digests and checksum make any damage or mix-up an error before the upstream hears of it.

    version  list    token    token  padding │ offset   item     checksum
    1 byte   8       3                 0-2   │ 2        8        8
    └─ the same for each edge of a page ─────┘ └─ 24 characters ────────┘

Both parts are whole groups of three bytes, so that each becomes base64url of its own: the
long one is written once a page, and no bit of the text is without meaning.
"""

import re
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct

import orjson

from gateway.errors import InvalidCursorError
from gateway.upstream.values import Listing

VERSION = 1
MAX_CURSOR_CHARACTERS = 64 * 1024
DIGEST_BYTES = 8
NO_ITEM = bytes(DIGEST_BYTES)
"""Stands where a place is behind no item that is known."""

_HEAD = Struct(f">B{DIGEST_BYTES}s3s")
_TAIL = Struct(f">H{DIGEST_BYTES}s")
_TAIL_BYTES = _TAIL.size + DIGEST_BYTES
_GROUP = 3
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class CursorPosition:
    """A place in the page behind `token` (None: the first), after its first `offset` items.

    `item` is the digest of the item just before the place. With an offset of 0 that item is
    the last one of the page before; NO_ITEM if none is known.
    """

    token: str | None
    offset: int
    item: bytes


def item_digest(key: str) -> bytes:
    """Digest what names an item, such as its ARN."""
    return blake2b(key.encode(), digest_size=DIGEST_BYTES).digest()


def listing_digest(listing: Listing, filter_key: str = "") -> bytes:
    """Digest a list with its region and all its filters: a cursor is good for one of them."""
    text = orjson.dumps([listing.operation, listing.region, listing.filters, filter_key])
    return blake2b(text, digest_size=DIGEST_BYTES).digest()


class PageCursors:
    """Writes the cursors of one page: what they have in common is written once."""

    __slots__ = ("_common", "_hash")

    def __init__(self, listing: bytes, token: str | None) -> None:
        common = _common_part(listing, token)
        self._common = _base64url(common)
        self._hash = blake2b(common, digest_size=DIGEST_BYTES)

    def encode(self, offset: int, item: bytes) -> str:
        """Write the place after the page's first `offset` items; `item` as in Place."""
        tail = _TAIL.pack(offset, item)
        checksum = self._hash.copy()
        checksum.update(tail)
        return self._common + _base64url(tail + checksum.digest())


def encode_cursor(listing: bytes, place: CursorPosition) -> str:
    """Write a place in the list with this digest as text."""
    return PageCursors(listing, place.token).encode(place.offset, place.item)


def decode_cursor(listing: bytes, text: str, *, argument: str) -> CursorPosition:
    """Read a place in the list with this digest.

    Raises InvalidCursorError, which names the argument, if the text is not exactly what
    encode_cursor writes, or is of another list.
    """
    if len(text) > MAX_CURSOR_CHARACTERS or len(text) % 4 or not _BASE64URL.fullmatch(text):
        raise _damaged(argument)
    raw = urlsafe_b64decode(text)
    if len(raw) < _HEAD.size + _TAIL_BYTES:
        raise _damaged(argument)
    version, of_listing, length = _HEAD.unpack_from(raw)
    offset, item = _TAIL.unpack_from(raw, len(raw) - _TAIL_BYTES)
    place = CursorPosition(_token(raw, int.from_bytes(length), argument), offset, item)
    # Version, padding, lengths and checksum at once: nothing else is a cursor.
    if version != VERSION or encode_cursor(of_listing, place) != text:
        raise _damaged(argument)
    if of_listing != listing:
        raise InvalidCursorError(
            f"`{argument}` is a cursor of another list. "
            "Accepted: a cursor of the same field with the same filters and region."
        )
    return place


def _base64url(raw: bytes) -> str:
    # base64.urlsafe_b64encode does the same in twice the time, which shows in a hundred edges.
    return b2a_base64(raw, newline=False).translate(_URL_SAFE).decode()


def _common_part(listing: bytes, token: str | None) -> bytes:
    # A length of 0 is the first page: the upstream's tokens have one character at least.
    raw = b"" if token is None else token.encode()
    part = _HEAD.pack(VERSION, listing, len(raw).to_bytes(3)) + raw
    return part + bytes(-len(part) % _GROUP)


def _token(raw: bytes, length: int, argument: str) -> str | None:
    try:
        return raw[_HEAD.size : _HEAD.size + length].decode() if length else None
    except UnicodeDecodeError:
        raise _damaged(argument) from None


def _damaged(argument: str) -> InvalidCursorError:
    return InvalidCursorError(
        f"`{argument}` is not a cursor. Accepted: a `cursor`, `startCursor` or `endCursor` "
        "from an earlier answer, unchanged."
    )
