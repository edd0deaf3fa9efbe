"""The `nextToken`: a place in one list of one account, opaque and hard to mistake for another."""

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest

from gateway.sandbox.problems import invalid

LONGEST_TOKEN = 10_240

_FRAME = struct.Struct(">?qH")
_SEAL_BYTES = 12
_PAD_MARK = "~"
# Everything that a URL or a form gives a meaning to.
_PADDING = "+/=%&?#aZ09"


@dataclass(frozen=True, slots=True)
class ListId:
    """What a token is bound to: a list, of somebody, somewhere, filtered in one way."""

    operation: str
    account_id: str
    region: str
    filters: Mapping[str, object]

    def text(self) -> str:
        """Write it so that two lists never read the same."""
        return repr((self.operation, self.account_id, self.region, sorted(self.filters.items())))


@dataclass(frozen=True, slots=True)
class Place:
    """After the item created at this moment, or at the start; and the empty pages seen there."""

    after_ms: int | None = None
    empty_pages: int = 0


def encode_token(place: Place, list_id: ListId, *, long: bool = False) -> str:
    """Write a place as a token of that list."""
    frame = _FRAME.pack(place.after_ms is not None, place.after_ms or 0, place.empty_pages)
    token = urlsafe_b64encode(frame + _seal(frame, list_id)).decode().rstrip("=")
    return _padded(token) if long else token


def decode_token(token: str, list_id: ListId) -> Place:
    """Read a token back; one of another list, or a damaged one, is refused."""
    short = token.partition(_PAD_MARK)[0]
    if token not in {short, _padded(short)}:
        raise invalid("Invalid nextToken")
    try:
        sealed = urlsafe_b64decode(short + "=" * (-len(short) % 4))
        frame, seal = sealed[: _FRAME.size], sealed[_FRAME.size :]
        is_after, after_ms, empty_pages = _FRAME.unpack(frame)
    except (ValueError, struct.error):
        raise invalid("Invalid nextToken") from None
    place = Place(after_ms if is_after else None, empty_pages)
    # Compared as text too: base64 has several spellings for the same bytes.
    if not compare_digest(seal, _seal(frame, list_id)) or short != encode_token(place, list_id):
        raise invalid("Invalid nextToken")
    return place


def _seal(frame: bytes, list_id: ListId) -> bytes:
    return blake2b(frame + list_id.text().encode(), digest_size=_SEAL_BYTES).digest()


def _padded(token: str) -> str:
    filler = _PADDING * (LONGEST_TOKEN // len(_PADDING) + 1)
    return f"{token}{_PAD_MARK}{filler}"[:LONGEST_TOKEN]
