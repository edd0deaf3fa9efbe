"""The plan of an operation: what its execution needs that no request changes."""

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
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
    FragmentDetails,
    GroupedFieldSet,
)

from gateway.graph.execution.cost import OperationCost
from gateway.graph.execution.cost_compiler import CostCompiler
from gateway.graph.execution.documents import Document, DocumentRejectedError, Documents
from gateway.graph.projections import row_members
from gateway.settings import Settings


class WriteByGetError(Exception):
    """A GET request executes an operation that is not a query."""


CollectedSubfields = dict[tuple[GraphQLObjectType, int], tuple[FieldDetailsList, CollectedFields]]
"""The fields below others, by the type of the object and the id of the list of these others.

As graphql-core collects them for one request. The lists are in the values, so ids stay unique.
"""


class Plan:
    """What the execution of one operation needs, made once for each text."""

    def __init__(
        self,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        cost: OperationCost,
        selected_names: frozenset[str],
        *,
        has_directives: bool,
    ) -> None:
        self.operation = operation
        self.name = operation.name.value if operation.name else None
        self.cost = cost
        self.selected_names = selected_names
        """The names of all members that the operation may need of objects, among others."""
        self.fragments = {
            each.name.value: FragmentDetails(each)
            for each in document.definitions
            if isinstance(each, FragmentDefinitionNode)
        }
        self.fragment_definitions = {name: each.definition for name, each in self.fragments.items()}
        self.subfields: CollectedSubfields | None = None if has_directives else {}
        """None if the variables of a request may decide which fields are selected."""
        self._root_fields: GroupedFieldSet | None = None

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
        self._row_members = row_members()

    def plan(self, text: str, operation_name: str | None, *, read_only: bool) -> Plan:
        """Return the plan of an operation.

        Raises DocumentRejectedError, and WriteByGetError if it is `read_only` and the operation is
        not a query.
        """
        document = self._documents.parse(text)
        plan = document.plans.get(operation_name)
        operation = plan.operation if plan else get_operation_ast(document.node, operation_name)
        if read_only and operation and operation.operation is not OperationType.QUERY:
            raise WriteByGetError
        if plan is None:
            self._documents.validate(document)
            if operation is None:
                raise DocumentRejectedError([_no_operation(operation_name)])
            plan = document.plans[operation_name] = self._make(document, operation)
        return plan

    def _make(self, document: Document, operation: OperationDefinitionNode) -> Plan:
        return Plan(
            document.node,
            operation,
            self._costs.compile(document.node, operation),
            document.names() | self._row_members,
            has_directives="@" in document.text,
        )


def _no_operation(name: str | None) -> GraphQLError:
    return GraphQLError(
        "The document has several operations. `operationName` must name the one to execute."
        if name is None
        else "`operationName` is not the name of an operation in the document."
    )
