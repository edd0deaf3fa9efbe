"""Which media type an answer has: what the `Accept` header wishes, of what there is.

Source: RFC 9110 section 12.5.1; GraphQL over HTTP, "Media Types".
"""

from dataclasses import dataclass
from functools import lru_cache

GRAPHQL = "application/graphql-response+json"
JSON = "application/json"
HTML = "text/html"

MAX_REMEMBERED_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a request accepts."""

    media_type: str | None
    """GRAPHQL or JSON; None if neither is accepted."""
    html: bool
    """Whether HTML is named, as browsers do, and not less wished for than the others."""


def accepted(header: str) -> Accepted:
    """Read an `Accept` header; an empty one accepts all.

    Among equals GRAPHQL wins where it is named. A wildcard gets JSON, which every client reads.
    """
    return _remembered(header) if len(header) <= MAX_REMEMBERED_CHARACTERS else _read(header)


def _read(header: str) -> Accepted:
    ranges = _ranges(header or "*/*")
    candidates = (GRAPHQL, JSON) if GRAPHQL in ranges else (JSON, GRAPHQL)
    best = max(candidates, key=lambda media: _quality(ranges, media))
    quality = _quality(ranges, best)
    html = ranges.get(HTML, 0.0)
    return Accepted(best if quality > 0 else None, html > 0 and html >= quality)


_remembered = lru_cache(maxsize=256)(_read)


def _ranges(header: str) -> dict[str, float]:
    ranges: dict[str, float] = {}
    for part in header.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality, fits = 1.0, True
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name == "q":
                quality = _number(value)
            elif name == "charset":
                fits = value.strip('"') in {"utf-8", "utf8"}
        if media and fits:
            ranges[media] = max(quality, ranges.get(media, 0.0))
    return ranges


def _number(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0


def _quality(ranges: dict[str, float], media: str) -> float:
    """Return how much a media type is wished for: the most specific range decides."""
    kind = media.partition("/")[0]
    for name in (media, f"{kind}/*", "*/*"):
        if name in ranges:
            return ranges[name]
    return 0.0
