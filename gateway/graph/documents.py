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

from gateway.errors import GatewayError, LimitExceededError

MAX_REMEMBERED_CHARACTERS = 256 * 1024
"""A parsed document takes about a hundred times its text: this bounds them to some 25 MB."""

MAX_VALIDATION_ERRORS = 20


class ParseFailedError(GatewayError):
    """The text is not a GraphQL document."""

    code = "GRAPHQL_PARSE_FAILED"


class ValidationFailedError(GatewayError):
    """The document is not one for this schema."""

    code = "GRAPHQL_VALIDATION_FAILED"


class Rejected(Exception):  # noqa: N818  a result with reasons, not a failure of ours
    """Why a document will not be executed: errors whose `original_error` holds the code."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__(errors)
        self.errors = errors


class Documents:
    """Parses and validates query texts against one schema.

    Without `introspection` the schema cannot be asked for, nor guessed from suggestions.
    """

    def __init__(self, schema: GraphQLSchema, *, introspection: bool, max_tokens: int) -> None:
        self._schema = schema
        self._introspection = introspection
        self._max_tokens = max_tokens
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
        try:
            return parse(text, max_tokens=self._max_tokens)
        except GraphQLSyntaxError as error:
            raise Rejected([_coded(error, self._why(error))]) from None

    def validate(self, text: str, document: DocumentNode) -> None:
        """Check a parsed document; raises Rejected with all that is wrong with it."""
        if text in self._known:
            return
        errors = validate(
            self._schema,
            document,
            self._rules,
            max_errors=MAX_VALIDATION_ERRORS,
            hide_suggestions=not self._introspection,
        )
        if errors:
            raise Rejected(
                [_coded(error, ValidationFailedError(error.message)) for error in errors]
            )
        self._remember(text, document)

    def _why(self, error: GraphQLSyntaxError) -> GatewayError:
        if "tokens. Parsing aborted" in error.message:
            return LimitExceededError(
                f"The document has more than {self._max_tokens} tokens, which is the limit."
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


def _coded(error: GraphQLError, known: GatewayError) -> GraphQLError:
    return GraphQLError(
        known.message,
        error.nodes,
        error.source,
        error.positions,
        original_error=known,
    )
