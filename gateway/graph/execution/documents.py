"""Documents: query texts, parsed and validated once and cached."""

import re
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
)
from graphql.execution.collect_fields import FragmentDetails
from graphql.validation.rules import overlapping_fields_can_be_merged

from gateway.errors import (
    GatewayError,
    LimitExceededError,
    ParseFailedError,
    ValidationFailedError,
)
from gateway.graph.execution.limits import SPLIT, check_limits
from gateway.graph.execution.parsing import parse
from gateway.graph.execution.selections import MAX_PLANS, switch_names
from gateway.graph.execution.validation import ABORTED, Validator
from gateway.graph.projections import row_members
from gateway.settings import Settings

if TYPE_CHECKING:
    from gateway.graph.execution.plan import OperationPlans

MAX_DOCUMENT_CHARACTERS = 128 * 1024
"""graphql-core reads a document one character at a time, which takes up to 40 ms at this size. One
string may be most of it: a cursor, which belongs into a variable, has up to 64 KiB."""

MAX_CACHED_CHARACTERS = 128 * 1024
"""A parsed document takes a hundred times the memory of its text, a terse one four hundred times.
So the cache takes some 13 MB, and 50 MB at worst. Each selection counts as a character more where
its fragment is spread, for each plan, because plans keep the fields of each selection set."""

MAX_ERRORS = 5
"""How many errors a response lists for a document or its variables; the last may say that there
are more."""

# Fields with the same response name are compared in pairs, and so are fragments that are spread
# side by side. With graphql-core's own bound on comparisons, 2,000 tokens can block all requests
# for 600 ms. With this one the worst document found takes 60 ms, and fifty fragments with five
# fields in common still pass.
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 30_000


class DocumentRejectedError(Exception):
    """A document will not be executed. The `original_error` of each error has the code."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__(errors)
        self.errors = errors


_NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]*")


@dataclass
class Document:
    """A parsed text, and what is known of it."""

    text: str
    node: DocumentNode
    is_valid: bool = False
    weight: int = 0
    """About how much memory it takes, and its plans will, as a number of characters."""
    plans: dict[str | None, "OperationPlans"] = field(default_factory=dict)
    """By the operation name of requests."""

    # Made once for all operations: a document may have hundreds of these, and of fragments.

    @cached_property
    def selected_names(self) -> frozenset[str]:
        """The names of all members that its operations may need of objects, among others."""
        return row_members().union(_NAME.findall(self.text))

    @cached_property
    def fragments(self) -> dict[str, FragmentDetails]:
        return {
            each.name.value: FragmentDetails(each)
            for each in self.node.definitions
            if isinstance(each, FragmentDefinitionNode)
        }

    @cached_property
    def fragment_definitions(self) -> dict[str, FragmentDefinitionNode]:
        return {name: each.definition for name, each in self.fragments.items()}


class Documents:
    """Parses and validates query texts against one schema.

    Without introspection the schema can be neither queried nor guessed from suggestions.
    """

    def __init__(self, schema: GraphQLSchema, settings: Settings) -> None:
        self._settings = settings
        hidden = () if settings.introspection else (NoSchemaIntrospectionCustomRule,)
        self._validator = Validator(schema, hidden, hide_suggestions=not settings.introspection)
        self._cache: OrderedDict[str, Document] = OrderedDict()
        self._cached_weight = 0

    def parse(self, text: str) -> Document:
        """Return the document; raises DocumentRejectedError if the text is not one."""
        cached = self._cache.get(text)
        if cached is not None:
            self._cache.move_to_end(text)
            return cached
        self._check_size(text)
        try:
            node = parse(text, max_tokens=self._settings.limit_tokens)
        except GraphQLSyntaxError as error:
            raise DocumentRejectedError([_with_cause(error, self._cause(error))]) from None
        return Document(text, node)

    def validate(self, document: Document) -> None:
        """Check a parsed document; raises DocumentRejectedError with all that is wrong with it."""
        if document.is_valid:
            return
        try:
            selections = check_limits(document.node, self._settings)
        except LimitExceededError as error:
            raise _rejected(error) from None
        errors = self._validator.validate(document.text, document.node, max_errors=MAX_ERRORS - 1)
        if any(error.message == ABORTED for error in errors):
            raise _rejected(
                LimitExceededError(
                    "The document is too complex to validate. Accepted: fewer fields with the "
                    "same response name, and fewer fragments side by side and within each other.",
                    limit="complexity",
                )
            )
        if errors:
            raise DocumentRejectedError(
                [_with_cause(error, ValidationFailedError(error.message)) for error in errors]
            )
        document.is_valid = True
        document.weight = len(document.text) + selections * _most_plans(document.node)
        self._add(document)

    def _check_size(self, text: str) -> None:
        if len(text) > MAX_DOCUMENT_CHARACTERS:
            raise _rejected(
                LimitExceededError(
                    f"The document has {len(text)} characters. Accepted: up to "
                    f"{MAX_DOCUMENT_CHARACTERS}. Send long values as variables.",
                    limit="document_characters",
                )
            )
        # Validation locates an error by counting the lines before it, which takes 25 ms in a
        # document of nothing but line ends.
        lines = max(text.count("\n"), text.count("\r")) + 1
        limit = self._settings.limit_tokens
        if lines > limit:
            raise _rejected(
                LimitExceededError(
                    f"The document has {lines} lines. Accepted: up to {limit}, as many as tokens "
                    "(GATEWAY_LIMIT_TOKENS).",
                    limit="lines",
                )
            )

    def _cause(self, error: GraphQLSyntaxError) -> GatewayError:
        if "tokens. Parsing aborted" in error.message:
            limit = self._settings.limit_tokens
            return LimitExceededError(
                f"The document has more than {limit} tokens. Accepted: up to {limit} "
                f"(GATEWAY_LIMIT_TOKENS). {SPLIT}",
                limit="tokens",
            )
        if "nested too deeply" in error.message:
            return LimitExceededError(
                "The document is nested too deeply to be parsed. Accepted: operations of up to "
                f"{self._settings.limit_depth} fields (GATEWAY_LIMIT_DEPTH).",
                limit="depth",
            )
        return ParseFailedError(error.message)

    def _add(self, document: Document) -> None:
        self._cache[document.text] = document
        self._cached_weight += document.weight
        while self._cached_weight > MAX_CACHED_CHARACTERS:
            _, removed = self._cache.popitem(last=False)
            self._cached_weight -= removed.weight


def _most_plans(document: DocumentNode) -> int:
    """Return how many plans an operation of the document may have at a time."""
    has_switches = any(
        switch_names(each)
        for each in document.definitions
        if isinstance(each, OperationDefinitionNode)
    )
    return MAX_PLANS if has_switches else 1


def _rejected(error: LimitExceededError) -> DocumentRejectedError:
    return DocumentRejectedError([GraphQLError(error.message, original_error=error)])


def _with_cause(error: GraphQLError, cause: GatewayError) -> GraphQLError:
    return GraphQLError(
        cause.message, error.nodes, error.source, error.positions, original_error=cause
    )
