"""GraphiQL on a phone, by keyboard, in both colour schemes, and to those who see it otherwise."""

import re

import pytest
from playwright.async_api import Page, Route, expect

from tests.axe import serious_faults
from tests.browser import Visit
from tests.gateways import Gateway
from tests.http.graphiql.explorer import expect_status, open_first, response, run

pytestmark = pytest.mark.asyncio(loop_scope="session")

NARROW = {"width": 390, "height": 844}

NOT_OURS = (
    ".monaco-editor",  # colours of comments and line numbers
    ".graphiql-tabs",  # a tab contains the button that closes it
    ".graphiql-explorer-root",  # inputs and menus without a label
)
"""Parts of GraphiQL and its editor whose faults are theirs."""

OUTLINE = """() => {
    const { activeElement, body } = document, style = getComputedStyle(activeElement);
    const name = activeElement.ariaLabel ?? activeElement.textContent;
    const width = style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth);
    return activeElement === body ? [] : [name, width];
}"""


async def expect_no_horizontal_scroll(page: Page) -> None:
    width = "document.documentElement.scrollWidth - innerWidth"
    assert await page.evaluate(width) <= 0


async def test_everything_is_within_reach_on_a_phone(visit: Visit, dev_url: str) -> None:
    """The editors are above the response, as wide as the window; the rest opens over them."""
    page = visit.page
    await page.set_viewport_size(NARROW)  # type: ignore[arg-type]  # a TypedDict of two ints
    await open_first(page, dev_url)
    await run(page)
    await expect(response(page)).to_contain_text("hasNextPage")
    editors = await page.locator(".graphiql-editors").bounding_box()
    result = await page.locator(".graphiql-response").bounding_box()
    assert editors
    assert result
    assert min(editors["width"], result["width"]) > 360
    assert min(editors["height"], result["height"]) > 280
    assert editors["y"] + editors["height"] <= result["y"]
    for name in ("Execute query", "Copy link to this query", "Variables", "Headers", "Explain"):
        await expect(page.get_by_role("button", name=name)).to_be_in_viewport(ratio=1)
    await expect(page.get_by_role("combobox", name="Credentials")).to_be_in_viewport(ratio=1)
    await expect_no_horizontal_scroll(page)

    for name in ("Documentation Explorer", "GraphiQL Explorer"):
        await page.get_by_role("button", name=f"Show {name}").click()
        await expect(page.locator(".graphiql-plugin")).to_be_in_viewport()
        await expect(page.locator(".graphiql-editors")).to_be_hidden()
        await expect_no_horizontal_scroll(page)
        await page.get_by_role("button", name=f"Hide {name}").click()
        await expect(page.locator(".graphiql-editors")).to_be_visible()
    await page.get_by_role("button", name="Open settings dialog").click()
    await expect(page.get_by_role("button", name="Dark")).to_be_in_viewport(ratio=1)
    box = await page.get_by_role("button", name="Dark").bounding_box()
    dialog = await page.get_by_role("dialog", name="Settings").bounding_box()
    assert box
    assert dialog
    assert box["x"] + box["width"] <= dialog["x"] + dialog["width"]


async def test_the_keyboard_reaches_everything_and_shows_where(visit: Visit, dev_url: str) -> None:
    page = visit.page
    await open_first(page, dev_url)
    await run(page)
    await expect_status(page, "HTTP 200")
    outlines: dict[str, float] = {}
    for _ in range(30):
        await page.keyboard.press("Tab")
        if focused := await page.evaluate(OUTLINE):
            outlines |= [focused]
    expected = (
        *("Show Documentation Explorer", "Show GraphiQL Explorer", "Open settings dialog"),
        *("NewestJobs", "JobChanges", "New tab", "ada: over"),
        *("Execute query", "Copy link to this query", "Variables", "Headers", "Explain"),
    )
    assert [each for each in expected if not any(map(re.compile(each).match, outlines))] == []
    assert [name for name, width in outlines.items() if width < 1] == []


async def test_assistive_technology_finds_no_serious_fault(
    visit: Visit, dev_url: str, production: Gateway
) -> None:
    """In light and dark, wide and narrow, with all that opens."""
    page = visit.page

    async def expect_no_fault() -> None:
        assert await serious_faults(page, exclude=NOT_OURS) == []

    await open_first(page, dev_url)
    await run(page)
    await page.evaluate("location.hash = '#share=damaged'")
    await page.get_by_role("button", name="Explain").click()
    await expect_no_fault()
    await page.emulate_media(color_scheme="dark")
    await page.set_viewport_size(NARROW)  # type: ignore[arg-type]  # a TypedDict of two ints
    await expect_no_fault()

    await open_first(page, f"{production.url}/graphql")
    await expect_no_fault()
    await page.emulate_media(color_scheme="light")
    await page.get_by_role("button", name="Show Documentation Explorer").click()
    await expect_no_fault()


async def test_editors_follow_the_colour_scheme_of_the_system(visit: Visit, dev_url: str) -> None:
    """As the rest of the page does, until the user chooses one of the two."""
    page = visit.page
    await page.emulate_media(color_scheme="light")
    await open_first(page, dev_url)
    dark = page.locator(".graphiql-query-editor .monaco-editor.vs-dark")
    await expect(dark).to_have_count(0)
    await page.emulate_media(color_scheme="dark")
    await expect(dark).to_be_visible()
    await page.emulate_media(color_scheme="light")
    await expect(dark).to_have_count(0)

    await page.get_by_role("button", name="Open settings dialog").click()
    await page.get_by_role("button", name="Dark").click()
    await expect(dark).to_have_count(1)
    await page.emulate_media(color_scheme="dark")
    await page.emulate_media(color_scheme="light")
    await expect(dark).to_have_count(1)


async def test_nothing_moves_for_those_who_want_it_still(visit: Visit, dev_url: str) -> None:
    """Not even while a query runs."""
    page = visit.page
    await page.emulate_media(reduced_motion="reduce")
    await open_first(page, dev_url)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    await page.route("**/graphql", hold)
    await run(page)
    await expect(page.locator(".graphiql-spinner")).to_be_visible()
    seconds = """getComputedStyle(document.querySelector(".graphiql-spinner"), "::after")
        .animationIterationCount"""
    assert await page.evaluate(seconds) == "1"
    await expect_status(page, "Running …")
    for route in held:
        await route.abort()
