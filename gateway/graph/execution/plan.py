"""The plan of an operation: what its execution needs that no request changes."""

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

from gateway.graph.execution.cost import OperationCost
from gateway.graph.execution.cost_compiler import CostCompiler
from gateway.graph.execution.documents import Document, DocumentRejectedError, Documents
from gateway.graph.execution.limits import INTROSPECTION
from gateway.settings import Settings

SCHEMA_FIELDS = INTROSPECTION | {"__typename", "_service"}


class WriteByGetError(Exception):
    """A GET request executes a mutation."""


CollectedSubfields = dict[tuple[GraphQLObjectType, int], tuple[FieldDetailsList, CollectedFields]]
"""The fields below others, by the type of the object and the id of the list of these others.

As graphql-core collects them for one request. The lists are in the values, so ids stay unique.
"""


class Plan:
    """What the execution of one operation needs, made once for each text."""

    def __init__(
        self,
        document: Document,
        operation: OperationDefinitionNode,
        cost: OperationCost,
    ) -> None:
        self.operation = operation
        self.name = operation.name.value if operation.name else None
        self.cost = cost
        # Not the document: it has its plans, and the cycle would keep both after its eviction.
        self.selected_names = document.selected_names
        self.fragments = document.fragments
        self.fragment_definitions = document.fragment_definitions
        self.subfields: CollectedSubfields | None = None if "@" in document.text else {}
        """None if the variables of a request may decide which fields are selected."""
        self._root_fields: GroupedFieldSet | None = None

    @property
    def reads_schema_only(self) -> bool:
        """Whether it is a query that selects only fields at its root that describe the schema."""
        return self.operation.operation is OperationType.QUERY and all(
            isinstance(each, FieldNode) and each.name.value in SCHEMA_FIELDS
            for each in self.operation.selection_set.selections
        )

    def root_fields(self, collected: GroupedFieldSet) -> GroupedFieldSet:
        """Return the fields at the root: those of the first request, if all select the same."""
        if self.subfields is None:
            return collected
        if self._root_fields is None:
            self._root_fields = collected
        return self._root_fields


class Planner:
    """Makes the plans of operations, and keeps them with their documents."""

    def __init__(self, schema: GraphQLSchema, settings: Settings) -> None:
        self._documents = Documents(schema, settings)
        self._costs = CostCompiler(schema)

    def plan(self, text: str, operation_name: str | None, *, read_only: bool) -> Plan:
        """Return the plan of an operation.

        Raises DocumentRejectedError, and WriteByGetError if it is `read_only` and the operation is
        a mutation.
        """
        document = self._documents.parse(text)
        plan = document.plans.get(operation_name)
        operation = plan.operation if plan else get_operation_ast(document.node, operation_name)
        if read_only and operation and operation.operation is OperationType.MUTATION:
            raise WriteByGetError
        if plan is None:
            self._documents.validate(document)
            if operation is None:
                raise DocumentRejectedError([_no_operation(operation_name)])
            cost = self._costs.compile(document.fragment_definitions, operation)
            plan = document.plans[operation_name] = Plan(document, operation, cost)
        return plan


def _no_operation(name: str | None) -> GraphQLError:
    return GraphQLError(
        "The document has several operations. `operationName` must name the one to execute."
        if name is None
        else "`operationName` is not the name of an operation in the document."
    )
