"""Keyset cursors: an item of an ordered list by its value and key, and their encoding as text.

They name no place in AWS's list, so items that come and go between two requests make no item
repeat or disappear.

    version  list    JSON of value and key  spaces   checksum
    1 byte   8                              0-2      8
"""

from hashlib import blake2b
from struct import Struct

import orjson

from gateway.graph.pagination.cursor import (
    DIGEST_BYTES,
    KEYSET,
    cursor_of_another_list,
    decode_base64url,
    encode_base64url,
    malformed_cursor,
)

_HEAD = Struct(f">B{DIGEST_BYTES}s")
_GROUP = 3


def encode_keyset(list_digest: bytes, value: str, key: str) -> bytes:
    """Encode the item with this value and key in the ordered list with this digest."""
    content = _HEAD.pack(KEYSET, list_digest) + orjson.dumps([value, key])
    content += b" " * (-(len(content) + DIGEST_BYTES) % _GROUP)
    return encode_base64url(content + blake2b(content, digest_size=DIGEST_BYTES).digest())


def decode_keyset(list_digest: bytes, text: str, *, argument: str) -> tuple[str, str]:
    """Decode the value and key of an item in the ordered list with this digest.

    Raises InvalidCursorError naming the argument if the text is not exactly what encode_keyset
    returns, or belongs to another list or order.
    """
    raw = decode_base64url(text, KEYSET, argument=argument)
    found_digest = raw[1 : _HEAD.size]
    match _parse(raw[_HEAD.size : -DIGEST_BYTES]):
        # Comparing the text checks lengths, spaces, escapes and checksum at once.
        case [str(value), str(key)] if encode_keyset(found_digest, value, key) == text.encode():
            if found_digest != list_digest:
                raise cursor_of_another_list(argument)
            return value, key
    raise malformed_cursor(argument)


def _parse(content: bytes) -> object:
    try:
        parsed: object = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    return parsed
