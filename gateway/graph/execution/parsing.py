"""Parsing of documents by graphql-core, without its tokens in the result.

They are linked in both directions, so a document that is no longer cached would stay in memory
until the next full garbage collection, and each collection scans them.
"""

import re
from bisect import bisect_left
from functools import cached_property

from graphql import DocumentNode, Lexer, Location, Source, SourceLocation, Token
from graphql.language.parser import Parser, nested_too_deeply_error


def parse(text: str, *, max_tokens: int) -> DocumentNode:
    """Return the document of a text; raises GraphQLSyntaxError if it is not one."""
    lexer = Lexer(IndexedSource(text))
    first_token = lexer.token
    parser = _Parser(lexer.source, lexer=lexer, max_tokens=max_tokens)
    try:
        return parser.parse_document()
    except RecursionError:
        pass  # an error raised here would keep its frames in memory
    finally:
        _unlink(first_token)
    raise nested_too_deeply_error(parser)


class IndexedSource(Source):
    """A text whose line breaks are found once, not for each error."""

    @cached_property
    def _line_breaks(self) -> tuple[list[int], list[int]]:
        """The positions at which line breaks begin, and those at which lines begin."""
        breaks = list(re.finditer(r"\r\n|[\n\r]", self.body))
        return [each.start() for each in breaks], [0, *(each.end() for each in breaks)]

    def get_location(self, position: int) -> SourceLocation:
        breaks, lines = self._line_breaks
        line = bisect_left(breaks, position)
        return SourceLocation(line + 1, position + 1 - lines[line])


class _TokenlessLocation(Location):
    __slots__ = ()

    def __init__(self, start: int, end: int, source: Source) -> None:
        self.start, self.end, self.source = start, end, source


class _Parser(Parser):
    def loc(self, start_token: Token) -> Location:
        lexer = self._lexer
        return _TokenlessLocation(start_token.start, lexer.last_token.end, lexer.source)


def _unlink(token: Token | None) -> None:
    while token is not None:
        following, token.prev, token.next = token.next, None, None
        token = following
