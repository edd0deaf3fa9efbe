"""The plan of an operation: what its execution needs that no request changes."""

from typing import TypeAlias

from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    get_operation_ast,
)
from graphql.execution.collect_fields import (
    CollectedFields,
    FieldDetailsList,
    GroupedFieldSet,
)

from gateway.graph.execution.cost import OperationCost, Variables
from gateway.graph.execution.cost_compiler import CostCompiler, default_values
from gateway.graph.execution.documents import Document, DocumentRejectedError, Documents
from gateway.graph.execution.limits import INTROSPECTION
from gateway.graph.execution.selections import MAX_PLANS, switch_names
from gateway.settings import Settings

SCHEMA_FIELDS = INTROSPECTION | {"__typename", "_service"}


class WriteByGetError(Exception):
    """A GET request executes a mutation."""


CollectedSubfields = dict[tuple[GraphQLObjectType, int], tuple[FieldDetailsList, CollectedFields]]
"""The fields below others, by the type of the object and the id of the list of these others.

As graphql-core collects them for one request. The lists are in the values, so ids stay unique.
"""


class Plan:
    """What the execution of one operation needs, made once for each text.

    Requests have a plan in common whose `@skip` and `@include` select the same.
    """

    def __init__(
        self, document: Document, operation: OperationDefinitionNode, cost: OperationCost
    ) -> None:
        self.operation = operation
        self.name = operation.name.value if operation.name else None
        self.cost = cost
        # Not the document: it has its plans, and the cycle would keep both after its eviction.
        self.selected_names = document.selected_names
        self.fragments = document.fragments
        self.fragment_definitions = document.fragment_definitions
        self.subfields: CollectedSubfields = {}
        self._root_fields: GroupedFieldSet | None = None

    @property
    def reads_schema_only(self) -> bool:
        """Whether it is a query that selects only fields at its root that describe the schema."""
        return self.operation.operation is OperationType.QUERY and all(
            isinstance(each, FieldNode) and each.name.value in SCHEMA_FIELDS
            for each in self.operation.selection_set.selections
        )

    def root_fields(self, collected: GroupedFieldSet) -> GroupedFieldSet:
        """Return the fields at the root: those of the first request."""
        if self._root_fields is None:
            self._root_fields = collected
        return self._root_fields


Switches: TypeAlias = tuple[bool | None, ...]
"""The values of the variables that `@skip` and `@include` may name; None is one that is invalid."""


class OperationPlans:
    """The plans of one operation, of which it has one for each of the last MAX_PLANS Switches."""

    def __init__(self, operation: OperationDefinitionNode) -> None:
        self.operation = operation
        self.switch_names = switch_names(operation)
        self._defaults = default_values(operation) if self.switch_names else {}
        self._plans: dict[Switches, Plan] = {}

    def switches(self, variables: Variables) -> Switches:
        defaults = self._defaults
        values = [variables.get(name, defaults.get(name)) for name in self.switch_names]
        return tuple([each if isinstance(each, bool) else None for each in values])

    def find(self, switches: Switches) -> Plan | None:
        return self._plans.get(switches)

    def add(self, switches: Switches, plan: Plan) -> None:
        if len(self._plans) == MAX_PLANS:
            del self._plans[next(iter(self._plans))]
        self._plans[switches] = plan


class Planner:
    """Makes the plans of operations, and keeps them with their documents."""

    def __init__(self, schema: GraphQLSchema, settings: Settings) -> None:
        self._documents = Documents(schema, settings)
        self._costs = CostCompiler(schema)

    def plan(
        self, text: str, operation_name: str | None, variables: Variables, *, read_only: bool
    ) -> Plan:
        """Return the plan of an operation for these variables, which need not be valid.

        Raises DocumentRejectedError, and WriteByGetError if it is `read_only` and the operation is
        a mutation.
        """
        document = self._documents.parse(text)
        plans = document.plans.get(operation_name)
        operation = plans.operation if plans else get_operation_ast(document.node, operation_name)
        if read_only and operation and operation.operation is OperationType.MUTATION:
            raise WriteByGetError
        if plans is None:
            self._documents.validate(document)
            if operation is None:
                raise DocumentRejectedError([_no_operation(operation_name)])
            plans = document.plans[operation_name] = OperationPlans(operation)
        switches = plans.switches(variables)
        plan = plans.find(switches)
        if plan is None:
            values = dict(zip(plans.switch_names, switches, strict=True))
            cost = self._costs.compile(document.fragment_definitions, plans.operation, values)
            plan = Plan(document, plans.operation, cost)
            plans.add(switches, plan)
        return plan


def _no_operation(name: str | None) -> GraphQLError:
    return GraphQLError(
        "The document has several operations. `operationName` must name the one to execute."
        if name is None
        else "`operationName` is not the name of an operation in the document."
    )
