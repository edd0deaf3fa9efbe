"""Documents: query texts, parsed and validated once and remembered for a while."""

from collections import OrderedDict

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    NoSchemaIntrospectionCustomRule,
    parse,
    specified_rules,
    validate,
)
from graphql.validation.rules import overlapping_fields_can_be_merged

from gateway.errors import (
    GatewayError,
    LimitExceededError,
    ParseFailedError,
    ValidationFailedError,
)
from gateway.graph.execution.limits import Limits, check

MAX_REMEMBERED_CHARACTERS = 128 * 1024
"""A parsed document takes a hundred times its text, a terse one four hundred times: this bounds
them to some 13 MB, and 50 MB at worst."""

MAX_ERRORS = 5
"""How many errors one document or its variables get; the last may say that there are more."""

# Fields that share a response name are compared two by two, and so are fragments that are spread
# side by side: graphql-core's own bound lets 2,000 tokens stop all requests for 600 ms. Under
# this one the worst that we found takes 60 ms, and fifty fragments with five fields in common
# still fit. It is the library's to be set, and counts exactly what takes the time.
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 30_000

ABORTED = "Validation aborted."
"""What graphql-core says where it gives up."""

TOO_MUCH_TO_VALIDATE = (
    "The document takes too much work to validate. Accepted: fields that are named once in each "
    "place, few fragments side by side, and few within each other."
)


class Rejected(Exception):  # noqa: N818  a result with reasons, not a failure of ours
    """Why a document will not be executed: errors whose `original_error` holds the code."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__(errors)
        self.errors = errors


class Documents:
    """Parses and validates query texts against one schema.

    Without `introspection` the schema cannot be asked for, nor guessed from suggestions.
    """

    def __init__(self, schema: GraphQLSchema, *, introspection: bool, limits: Limits) -> None:
        self._schema = schema
        self._introspection = introspection
        self._limits = limits
        hidden = () if introspection else (NoSchemaIntrospectionCustomRule,)
        self._rules = (*specified_rules, *hidden)
        self._known: OrderedDict[str, DocumentNode] = OrderedDict()
        self._characters = 0

    def parse(self, text: str) -> DocumentNode:
        """Return the document; raises Rejected if the text is none."""
        known = self._known.get(text)
        if known is not None:
            self._known.move_to_end(text)
            return known
        self._check_lines(text)
        try:
            return parse(text, max_tokens=self._limits.tokens)
        except GraphQLSyntaxError as error:
            raise Rejected([_coded(error, self._why(error))]) from None

    def validate(self, text: str, document: DocumentNode) -> None:
        """Check a parsed document; raises Rejected with what is wrong with it."""
        if text in self._known:
            return
        try:
            check(document, self._limits)
        except LimitExceededError as error:
            raise _rejected(error) from None
        errors = validate(
            self._schema,
            document,
            self._rules,
            max_errors=MAX_ERRORS - 1,
            hide_suggestions=not self._introspection,
        )
        if any(error.message == ABORTED for error in errors):
            raise _rejected(LimitExceededError(TOO_MUCH_TO_VALIDATE))
        if errors:
            raise Rejected(
                [_coded(error, ValidationFailedError(error.message)) for error in errors]
            )
        self._remember(text, document)

    def _check_lines(self, text: str) -> None:
        # The place of each error is found by counting the lines before it. A document of nothing
        # but line ends would take 25 ms for each error, and an answer may have hundreds.
        lines = max(text.count("\n"), text.count("\r")) + 1
        if lines > self._limits.tokens:
            raise _rejected(
                LimitExceededError(
                    f"The document has {lines} lines. Accepted: up to {self._limits.tokens}, as "
                    "many as tokens (GATEWAY_LIMIT_TOKENS)."
                )
            )

    def _why(self, error: GraphQLSyntaxError) -> GatewayError:
        if "tokens. Parsing aborted" in error.message:
            return LimitExceededError(
                f"The document has more than {self._limits.tokens} tokens. Accepted: up to "
                f"{self._limits.tokens} (GATEWAY_LIMIT_TOKENS)."
            )
        if "nested too deeply" in error.message:
            return LimitExceededError("The document is nested deeper than can be read.")
        return ParseFailedError(error.message)

    def _remember(self, text: str, document: DocumentNode) -> None:
        self._known[text] = document
        self._characters += len(text)
        while self._characters > MAX_REMEMBERED_CHARACTERS:
            forgotten, _ = self._known.popitem(last=False)
            self._characters -= len(forgotten)


def _rejected(error: LimitExceededError) -> Rejected:
    return Rejected([GraphQLError(error.message, original_error=error)])


def _coded(error: GraphQLError, known: GatewayError) -> GraphQLError:
    return GraphQLError(
        known.message,
        error.nodes,
        error.source,
        error.positions,
        original_error=known,
    )
