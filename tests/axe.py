"""What axe-core finds wrong with a page."""

from collections.abc import Sequence
from pathlib import Path

from playwright.async_api import Page

AXE = Path(__file__).resolve().parents[1] / "examples/node_modules/axe-core/axe.min.js"

FIND = """async exclude => {
    const { violations } = await axe.run({ exclude }, { resultTypes: ["violations"] });
    return violations
        .filter(({ impact }) => impact === "serious" || impact === "critical")
        .flatMap(({ id, nodes }) => nodes.map(node => `${id}: ${node.html}`));
}"""


async def serious_faults(page: Page, *, exclude: Sequence[str] = ()) -> list[str]:
    """Return the serious and critical faults, as a rule and the HTML of an element.

    Elements that match the selectors in `exclude` are not examined.
    """
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[str] = await page.evaluate(FIND, [[selector] for selector in exclude])
    return found
