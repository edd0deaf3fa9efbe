"""The table of what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

HEADINGS = ("what", "measured", "target", "met")


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what was measured, and whether it is what it should be."""

    what: str
    measured: str
    target: str = ""
    met: bool | None = None
    """None where the figure only stands beside another."""

    def cells(self) -> tuple[str, str, str, str]:
        """Give the texts of the line."""
        met = {None: "", True: "yes", False: "NO"}[self.met]
        return self.what, self.measured, self.target, met


def at_most(what: str, value: float, limit: float, unit: str, digits: int = 2) -> Row:
    """Make the row of a figure that must not be above a limit."""
    return Row(what, f"{value:.{digits}f} {unit}", f"<= {limit:g} {unit}", value <= limit)


def beside(what: str, value: float, unit: str, digits: int = 2) -> Row:
    """Make the row of a figure that others are compared with."""
    return Row(what, f"{value:.{digits}f} {unit}")


def text(rows: Sequence[Row]) -> str:
    """Write the table; it is Markdown too."""
    lines = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    written = [f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([written[0], rule, *written[1:]])


def middle(values: Sequence[float]) -> float:
    """Return the median."""
    return median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
