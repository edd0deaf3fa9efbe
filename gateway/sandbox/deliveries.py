"""Faults on the way: the head comes at once, the body slowly, by half, or without measure."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

from gateway.sandbox.dose import Dose
from gateway.sandbox.questions import Answer, Proceed, Question

# JSON and XML may both end in spaces, so what is padded stays well formed.
_PADDING = b" " * 2**16
_PADDINGS_A_MEGABYTE = 2**20 // len(_PADDING)
_GZIP = 16 + zlib.MAX_WBITS


async def drip(question: Question, proceed: Proceed, dose: Dose) -> Answer:
    """Send the right answer a few bytes at a time: no single wait for it is long."""

    async def deliver(body: bytes) -> AsyncIterator[bytes]:
        size = dose.integer("bytes")
        for start in range(0, len(body), size):
            yield body[start : start + size]
            await asyncio.sleep(dose.number("seconds"))

    return replace(await proceed(question), deliver=deliver)


async def half(question: Question, proceed: Proceed, dose: Dose) -> Answer:
    """Send half of the right answer, and the rest once healed; who leaves is let go at once."""

    async def deliver(body: bytes) -> AsyncIterator[bytes]:
        middle = len(body) // 2
        yield body[:middle]
        await dose.healed.wait()
        yield body[middle:]

    return replace(await proceed(question), deliver=deliver)


async def huge(question: Question, proceed: Proceed, dose: Dose) -> Answer:
    """Send the right answer, followed by very many spaces, and no length in front."""

    async def deliver(body: bytes) -> AsyncIterator[bytes]:
        for piece in _padded(body, dose):
            yield piece

    return replace(await proceed(question), deliver=deliver)


async def gzip(question: Question, proceed: Proceed, dose: Dose) -> Answer:
    """Send the same packed, though nobody asked for that: small until it is unpacked."""

    async def deliver(body: bytes) -> AsyncIterator[bytes]:
        packer = zlib.compressobj(wbits=_GZIP)
        for piece in _padded(body, dose):
            packed = packer.compress(piece)
            if packed:
                yield packed
            # Packing is work: other calls of the sandbox get their turn in between.
            await asyncio.sleep(0)
        yield packer.flush()

    answer = await proceed(question)
    headers = {**answer.headers, "Content-Encoding": "gzip"}
    return replace(answer, headers=headers, deliver=deliver)


def _padded(body: bytes, dose: Dose) -> Iterator[bytes]:
    yield body
    for _ in range(dose.integer("megabytes") * _PADDINGS_A_MEGABYTE):
        yield _PADDING
