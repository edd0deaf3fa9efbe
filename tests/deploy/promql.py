"""The metrics and labels that a PromQL expression uses."""

from dataclasses import dataclass, field

import promql_parser
from promql_parser import AggregateExpr, Expr, VectorSelector

VARIABLES = {"$__rate_interval": "5m", "$instance": ".*"}
"""Variables of Grafana, with example values."""


@dataclass
class Used:
    metrics: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)
    matchers: list[tuple[str, str, str]] = field(default_factory=list)
    """Label, operator, value."""


def used_by(expression: str) -> Used:
    """Parse an expression; raises ValueError if it is invalid."""
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    found = Used()

    def visit(node: Expr) -> bool:
        if isinstance(node, VectorSelector):
            assert node.name is not None
            found.metrics.add(node.name)
            for matcher in node.matchers.matchers:
                found.labels.add(matcher.name)
                found.matchers.append((matcher.name, str(matcher.op), matcher.value))
        elif isinstance(node, AggregateExpr) and node.modifier is not None:
            found.labels.update(node.modifier.labels)
        return True

    promql_parser.walk(promql_parser.parse(expression), pre_visit=visit)
    return found
