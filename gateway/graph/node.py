"""Global ids: every object that can be fetched again by an id alone.

Source: Relay's Global Object Identification specification.
"""

import binascii
from base64 import b64decode
from binascii import b2a_base64

import strawberry


@strawberry.interface(description="An object with a global id, by which it can be fetched again.")
class Node:
    """What each object of the graph has in common."""

    id: strawberry.ID = strawberry.field(
        description="The object's global id. Opaque: good for `node` and as a key in caches."
    )


def to_global_id(type_name: str, key: str) -> str:
    """Write the id of the object of this type with this key."""
    return b2a_base64(f"{type_name}:{key}".encode(), newline=False).decode()


def from_global_id(text: str) -> tuple[str, str] | None:
    """Read type name and key from an id; None if it is none of ours."""
    try:
        type_name, found, key = b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    # One object, one id: another writing of the same bytes is none.
    return (type_name, key) if found and to_global_id(type_name, key) == text else None
