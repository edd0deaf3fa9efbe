"""Validation of a document by graphql-core's rules, in a single pass.

graphql-core's own `validate` asks every rule at every node, and looks for variables in passes of
their own. Here a node is shown to the rules that have a method for its kind, and the variables of
an operation are found on the way. A property test verifies that the errors are the same, but for
those of custom scalars: see `LocatedValuesRule`.
"""

from collections.abc import Callable, Collection, Iterable
from itertools import combinations
from typing import Any

from graphql import (
    BREAK,
    SKIP,
    ArgumentNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLInputType,
    GraphQLSchema,
    ListValueNode,
    Node,
    ObjectValueNode,
    OperationDefinitionNode,
    TypeInfo,
    TypeInfoVisitor,
    ValidationContext,
    ValueNode,
    VariableDefinitionNode,
    Visitor,
    VisitorAction,
    specified_rules,
    visit,
)
from graphql.language.ast import QUERY_DOCUMENT_KEYS
from graphql.language.visitor import EnterLeaveVisitor
from graphql.utilities import validate_input_literal
from graphql.validation import (
    DeferStreamDirectiveLabel,
    DeferStreamDirectiveOnRootField,
    DeferStreamDirectiveOnValidOperationsRule,
    KnownDirectivesRule,
    NoUnusedFragmentsRule,
    StreamDirectiveOnListField,
    UniqueDirectivesPerLocationRule,
    ValuesOfCorrectTypeRule,
)
from graphql.validation.validate import FragmentNestingVisitor, ValidationAbortedError
from graphql.validation.validation_context import VariableUsage, VariableUsageVisitor

ABORTED = "Validation aborted."
"""graphql-core's message for a document that takes too much work."""

TOO_MANY_ERRORS = "Too many validation errors, error limit reached. Validation aborted."

Rule = Callable[["_Context"], Visitor]

Method = Callable[..., VisitorAction | None]


class Validator:
    """Validates documents against one schema by the specified rules, and others."""

    def __init__(
        self, schema: GraphQLSchema, additional_rules: Collection[Any], *, hide_suggestions: bool
    ) -> None:
        self._schema = schema
        specified = (
            LocatedValuesRule if rule is ValuesOfCorrectTypeRule else rule
            for rule in specified_rules
        )
        rules = (_FragmentNesting, *specified, *additional_rules)
        self._rules = {
            markers: _RuleSet(rule for rule in rules if _can_report(rule, markers))
            for length in range(len(MARKERS) + 1)
            for markers in combinations(MARKERS, length)
        }
        """The rules for a text with these markers."""
        self._hide_suggestions = hide_suggestions

    def validate(self, text: str, document: DocumentNode, *, max_errors: int) -> list[GraphQLError]:
        """Return the errors of the document of this text; one more says that there are others.

        The last error is ABORTED if the document takes too much work.
        """
        errors: list[GraphQLError] = []

        def on_error(error: GraphQLError) -> None:
            if len(errors) >= max_errors:
                raise ValidationAbortedError(TOO_MANY_ERRORS)
            errors.append(error)

        context = _Context(
            self._schema,
            document,
            on_error,
            hide_suggestions=self._hide_suggestions,
            has_variables="$" in text,
        )
        rules = self._rules[tuple(marker for marker in MARKERS if marker in text)]
        try:
            visit(document, _SinglePass(context, rules), _VISITED_KEYS)
        except ValidationAbortedError as error:
            # The returned error must keep neither frames nor a handled error in memory.
            error.__context__ = None
            errors.append(error.with_traceback(None))
        except RecursionError:
            errors.append(ValidationAbortedError(ABORTED))
        return errors


class _Context(ValidationContext):
    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        on_error: Callable[[GraphQLError], None],
        *,
        hide_suggestions: bool,
        has_variables: bool,
    ) -> None:
        self.type_info = TypeInfo(schema)
        super().__init__(schema, document, self.type_info, on_error, hide_suggestions)
        self.fragments = {
            each.name.value: each
            for each in document.definitions
            if isinstance(each, FragmentDefinitionNode)
        }
        self._has_variables = has_variables
        self._usages: dict[int, list[VariableUsage]] = {}
        """By the id of an operation or fragment; its hash would be that of all nodes in it."""

    def get_variable_usages(self, node: Any) -> list[VariableUsage]:
        if not self._has_variables:
            return []
        usages = self._usages.get(id(node))
        if usages is None:
            fragment = node if isinstance(node, FragmentDefinitionNode) else None
            visitor = _VariableUsageVisitor(self.type_info, fragment)
            typed = TypeInfoVisitor(self.type_info, visitor)
            visit(node, typed, _VISITED_KEYS)
            # They have their own methods in it: cycles, which only a garbage collection would free.
            typed.enter_leave_map.clear()
            visitor.enter_leave_map.clear()
            usages = self._usages[id(node)] = visitor.usages
        return usages

    def get_recursive_variable_usages(
        self, operation: OperationDefinitionNode
    ) -> list[VariableUsage]:
        if not self.fragments:
            return self.get_variable_usages(operation)
        return super().get_recursive_variable_usages(operation)


class _VariableUsageVisitor(VariableUsageVisitor):
    def enter_field(self, node: FieldNode, *_: Any) -> VisitorAction:
        has_contents = node.selection_set or node.arguments or node.directives
        return None if has_contents else SKIP


class _FragmentNesting(FragmentNestingVisitor):
    """Aborts the validation of fragments that are spread within each other too deeply."""

    def __init__(self, context: _Context) -> None:
        super().__init__(context.fragments)


class LocatedValuesRule(ValuesOfCorrectTypeRule):
    """Also says where a literal is that a custom scalar rejects, and of which argument.

    graphql-core's own types report errors with their place. The function of a custom scalar
    receives the value alone, and graphql-core does not add the place for it.
    """

    _owner = ""

    def enter_argument(self, node: ArgumentNode, *_: Any) -> None:
        self._owner = f"Argument '{node.name.value}"

    def enter_variable_definition(self, node: VariableDefinitionNode, *_: Any) -> None:
        self._owner = f"Default of variable '${node.variable.name.value}"

    def is_valid_value_node(
        self, node: ValueNode, input_type: GraphQLInputType | None
    ) -> VisitorAction:
        def on_error(error: GraphQLError, path: list[str | int]) -> None:
            self.report_error(error if error.nodes else self._located(error, node, path))

        if input_type:
            hide_suggestions = self.context.hide_suggestions
            validate_input_literal(node, input_type, on_error, hide_suggestions=hide_suggestions)
        return SKIP

    def _located(
        self, error: GraphQLError, node: ValueNode, path: Iterable[str | int]
    ) -> GraphQLError:
        member = ""
        for key in path:
            if isinstance(node, ListValueNode) and isinstance(key, int):
                node = node.values[key]
                member += f"[{key}]"
            elif isinstance(node, ObjectValueNode):
                # Of several fields with the same name, the last counts.
                node = {field.name.value: field.value for field in node.fields}[str(key)]
                member += f".{key}"
        message = f"{self._owner}{member}' has invalid value: {error.message}"
        return GraphQLError(message, node, original_error=error.original_error)


MARKERS: dict[str, frozenset[Any]] = {
    "@": frozenset(
        {
            KnownDirectivesRule,
            UniqueDirectivesPerLocationRule,
            DeferStreamDirectiveOnRootField,
            DeferStreamDirectiveOnValidOperationsRule,
            DeferStreamDirectiveLabel,
            StreamDirectiveOnListField,
        }
    ),
    "fragment": frozenset({_FragmentNesting, NoUnusedFragmentsRule}),
}
"""What a text must contain for these rules to find an error in it."""


class _RuleSet:
    """Rules that are applied together, and by kind of node the methods that they have."""

    def __init__(self, rules: Iterable[Any]) -> None:
        self.rules: tuple[Rule, ...] = tuple(rules)
        self._methods: dict[tuple[str, str], list[tuple[int, str]]] = {}

    def methods(self, event: str, kind: str) -> list[tuple[int, str]]:
        """Return the index of each rule that has a method for this event, and its name."""
        found = self._methods.get((event, kind))
        if found is None:
            names = (f"{event}_{kind}", event)
            found = self._methods[event, kind] = [
                (index, next(name for name in names if hasattr(rule, name)))
                for index, rule in enumerate(self.rules)
                if any(hasattr(rule, name) for name in names)
            ]
        return found


def _can_report(rule: Any, markers: Collection[str]) -> bool:
    return all(marker in markers or rule not in rules for marker, rules in MARKERS.items())


_VISITED_KEYS = {
    kind: tuple(key for key in keys if key not in {"description", "name", "alias"})
    for kind, keys in QUERY_DOCUMENT_KEYS.items()
}
"""The children that rules look at. They read names as attributes of the named nodes."""


class _SinglePass(Visitor):
    """Shows each node to the type information and to the rules that have a method for its kind."""

    def __init__(self, context: _Context, rule_set: _RuleSet) -> None:
        super().__init__()
        self._type_info = context.type_info
        self._rule_set = rule_set
        self._rules = [rule(context) for rule in rule_set.rules]
        self._skipped: list[Any] = [None] * len(self._rules)
        """For each rule the node whose contents it skips, or BREAK for the rest of the document."""

    def get_enter_leave_for_kind(self, kind: str) -> EnterLeaveVisitor:
        found = self.enter_leave_map.get(kind)
        if found is None:
            found = EnterLeaveVisitor(self._enter(kind), self._leave(kind))
            self.enter_leave_map[kind] = found
        return found

    def _enter(self, kind: str) -> Method | None:
        enter_type: Callable[[Node], None] | None
        enter_type = getattr(self._type_info, f"enter_{kind}", None)
        methods = self._bound_methods("enter", kind)
        skipped = self._skipped

        def enter(node: Node, *arguments: Any) -> None:
            if enter_type:
                enter_type(node)
            for index, method in methods:
                if skipped[index] is None:
                    action = method(node, *arguments)
                    if action is not None:
                        skipped[index] = BREAK if action is BREAK else node

        return enter if enter_type or methods else None

    def _leave(self, kind: str) -> Method | None:
        leave_type: Callable[[], None] | None
        leave_type = getattr(self._type_info, f"leave_{kind}", None)
        methods = self._bound_methods("leave", kind)
        skipped = self._skipped
        # Only a rule that has entered the node can have skipped it.
        entered = [index for index, _ in self._rule_set.methods("enter", kind)]

        def leave(node: Node, *arguments: Any) -> None:
            for index, method in methods:
                if skipped[index] is None:
                    action = method(node, *arguments)
                    if action is BREAK:
                        skipped[index] = BREAK
            for index in entered:
                if skipped[index] is node:
                    skipped[index] = None
            if leave_type:
                leave_type()

        return leave if leave_type or methods or entered else None

    def _bound_methods(self, event: str, kind: str) -> list[tuple[int, Method]]:
        return [
            (index, getattr(self._rules[index], name))
            for index, name in self._rule_set.methods(event, kind)
        ]
