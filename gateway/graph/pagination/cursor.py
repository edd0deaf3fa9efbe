"""Cursors: a position between two items of an upstream list, and its encoding as text.

A cursor needs no secret: AWS authorizes each call by the caller's own credentials. Its digests
and checksum detect damaged cursors, and those of other lists, before the upstream is called.

    version  list    token    token  padding │ offset   item     checksum
    1 byte   8       3                 0-2   │ 2        8        8
    └─ the same for each edge of a page ─────┘ └─ 24 characters ────────┘

The length of each part is a multiple of three bytes, so that each is encoded as base64url by
itself, the long one once per page, without unused bits: no other text decodes to the same bytes.
"""

import re
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from struct import Struct

import orjson

from gateway.errors import InvalidCursorError
from gateway.upstream.values import Item, Listing

POSITION = 1
KEYSET = 2
"""The versions of cursors: of positions between items, and of items in an order (`keyset`)."""

MAX_CURSOR_CHARACTERS = 64 * 1024
DIGEST_BYTES = 8
NO_ITEM = bytes(DIGEST_BYTES)
"""The digest of a position that follows no known item."""

_HEAD = Struct(f">B{DIGEST_BYTES}s3s")
_TAIL = Struct(f">H{DIGEST_BYTES}s")
_TAIL_BYTES = _TAIL.size + DIGEST_BYTES
_GROUP = 3
_TAIL_CHARACTERS = _TAIL_BYTES // _GROUP * 4
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class CursorPosition:
    """A position in the page of `token` (None: the first page), after its first `offset` items.

    `item` is the digest of the item before the position. With an offset of 0 that item is the
    last one of the previous page; NO_ITEM if none is known.
    """

    token: str | None
    offset: int
    item: bytes


def item_digest(key: str) -> bytes:
    """Digest an item's key, such as its ARN."""
    return blake2b(key.encode(), digest_size=DIGEST_BYTES).digest()


@cache
def digest_by(key_of: Callable[[Item], str]) -> Callable[[Item], bytes]:
    """Return a function that digests an item's key, always the same one for a `key_of`."""
    return lambda item: item_digest(key_of(item))


def listing_digest(listing: Listing, filter_key: str = "", order_key: str = "") -> bytes:
    """Digest a list with its region, filters and order. A cursor is valid for one list only."""
    parts = [listing.operation, listing.region, listing.filters, filter_key]
    text = orjson.dumps([*parts, order_key] if order_key else parts)
    return blake2b(text, digest_size=DIGEST_BYTES).digest()


class PageCursors:
    """Encodes the cursors of one page; their common part is encoded once."""

    __slots__ = ("_hash", "common")

    def __init__(self, list_digest: bytes, token: str | None) -> None:
        common = _common_part(list_digest, token)
        self.common = encode_base64url(common)
        """What all cursors of the page begin with."""
        self._hash = blake2b(common, digest_size=DIGEST_BYTES)

    def tails(self, offsets: Iterable[int], items: Iterable[bytes]) -> list[bytes]:
        """Encode positions, with offset and item as in CursorPosition, without the common part."""
        parts: list[bytes] = []
        for tail in map(_TAIL.pack, offsets, items):
            checksum = self._hash.copy()
            checksum.update(tail)
            parts += tail, checksum.digest()
        # All at once takes a fifth of the time of one after the other.
        encoded = encode_base64url(b"".join(parts))
        size = _TAIL_CHARACTERS
        return [encoded[start : start + size] for start in range(0, len(encoded), size)]


def encode_cursor(list_digest: bytes, position: CursorPosition) -> str:
    """Encode a position in the list with this digest."""
    cursors = PageCursors(list_digest, position.token)
    (tail,) = cursors.tails([position.offset], [position.item])
    return (cursors.common + tail).decode()


def decode_cursor(list_digest: bytes, text: str, argument: str) -> CursorPosition:
    """Decode a position in the list with this digest.

    Raises InvalidCursorError naming the argument if the text is not exactly what encode_cursor
    returns, or belongs to another list.
    """
    raw = decode_base64url(text, POSITION, argument=argument)
    if len(raw) < _HEAD.size + _TAIL_BYTES:
        raise malformed_cursor(argument)
    _, found_digest, length = _HEAD.unpack_from(raw)
    offset, item = _TAIL.unpack_from(raw, len(raw) - _TAIL_BYTES)
    position = CursorPosition(_token(raw, int.from_bytes(length), argument), offset, item)
    # Comparing the text checks padding, lengths and checksum at once.
    if encode_cursor(found_digest, position) != text:
        raise malformed_cursor(argument)
    if found_digest != list_digest:
        raise cursor_of_another_list(argument)
    return position


def encode_base64url(raw: bytes) -> bytes:
    # base64.urlsafe_b64encode takes twice as long.
    return b2a_base64(raw, newline=False).translate(_URL_SAFE)


def decode_base64url(text: str, version: int, *, argument: str) -> bytes:
    """Return the bytes of a cursor of this version; raises InvalidCursorError for any other."""
    if len(text) > MAX_CURSOR_CHARACTERS or len(text) % 4 or not _BASE64URL.fullmatch(text):
        raise malformed_cursor(argument)
    raw = urlsafe_b64decode(text)
    if raw[0] == version:
        return raw
    raise (cursor_of_another_list if raw[0] in {POSITION, KEYSET} else malformed_cursor)(argument)


def _common_part(list_digest: bytes, token: str | None) -> bytes:
    # A length of 0 means the first page: AWS's tokens have at least one character.
    raw = b"" if token is None else token.encode()
    part = _HEAD.pack(POSITION, list_digest, len(raw).to_bytes(3)) + raw
    return part + bytes(-len(part) % _GROUP)


def _token(raw: bytes, length: int, argument: str) -> str | None:
    try:
        return raw[_HEAD.size : _HEAD.size + length].decode() if length else None
    except UnicodeDecodeError:
        raise malformed_cursor(argument) from None


def cursor_of_another_list(argument: str) -> InvalidCursorError:
    return InvalidCursorError(
        f"`{argument}` is a cursor of another list. "
        "Accepted: a cursor of the same field with the same filters, order and region."
    )


def malformed_cursor(argument: str) -> InvalidCursorError:
    return InvalidCursorError(
        f"`{argument}` is not a cursor. Accepted: a `cursor`, `startCursor` or `endCursor` "
        "from an earlier response, unchanged."
    )
