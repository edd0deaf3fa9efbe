"""The table of results."""

from collections.abc import Sequence
from dataclasses import dataclass

HEADINGS = ("what", "measured", "target", "met")
SUMMARY_HEADINGS = ("what", "this gateway", "Hive Gateway", "Tailcall", "other")


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a figure, and its target if it has one."""

    what: str
    measured: str
    target: str = ""
    met: bool | None = None
    """None for a figure without a target."""
    summary: tuple[str, ...] = ()
    """The cells of the line in the summary, if there is one."""

    def cells(self) -> tuple[str, str, str, str]:
        met = {None: "", True: "yes", False: "NO"}[self.met]
        return self.what, self.measured, self.target, met


def at_most(what: str, value: float, limit: float, unit: str, digits: int = 2) -> Row:
    """Make the row of a figure with an upper limit."""
    return Row(what, f"{value:.{digits}f} {unit}", f"<= {limit:g} {unit}", value <= limit)


def reference(what: str, value: float, unit: str, digits: int = 2) -> Row:
    """Make the row of a figure without a target."""
    return Row(what, f"{value:.{digits}f} {unit}")


def text(rows: Sequence[Row]) -> str:
    """Format the table, in Markdown."""
    return _markdown(HEADINGS, [row.cells() for row in rows])


def summary(rows: Sequence[Row]) -> str:
    """Format the comparison in a few lines, in Markdown; empty if there is none."""
    lines = [row.summary for row in rows if row.summary]
    return _markdown(SUMMARY_HEADINGS, lines) if lines else ""


def _markdown(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    table = [headings, *lines]
    widths = [max(len(line[column]) for line in table) for column in range(len(headings))]
    written = [f"| {' | '.join(map(str.ljust, line, widths))} |" for line in table]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([written[0], rule, *written[1:]])


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
