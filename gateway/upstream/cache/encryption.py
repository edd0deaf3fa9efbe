"""How entries in a shared Redis are encrypted: AES-GCM under a key of their caller."""

import os
from struct import Struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12
_EXPIRES = Struct(">d")


def encrypt(encryption_key: bytes, key: str, expires: float, value: bytes) -> bytes:
    """Encrypt a value and its expiry, bound to the key under which it is stored."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(encryption_key).encrypt(
        nonce, _EXPIRES.pack(expires) + value, key.encode()
    )


def decrypt(encryption_key: bytes, key: str, encrypted: bytes) -> tuple[float, bytes] | None:
    """Return expiry and value of what `encrypt` made with the same keys; None for anything else."""
    nonce, ciphertext = encrypted[:NONCE_BYTES], encrypted[NONCE_BYTES:]
    try:
        plain = AESGCM(encryption_key).decrypt(nonce, ciphertext, key.encode())
    except (InvalidTag, ValueError):
        return None
    if len(plain) < _EXPIRES.size:
        return None
    return _EXPIRES.unpack_from(plain)[0], plain[_EXPIRES.size :]
