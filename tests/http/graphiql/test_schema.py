"""What of the schema GraphiQL shows: nothing that only routers of a graph use."""

import re

import pytest
from playwright.async_api import expect

from tests.browser import Visit
from tests.http.graphiql.explorer import (
    open_document,
    open_first,
    replace,
    response,
    run,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

OF_FEDERATION = re.compile(r"\b(_(?!_)\w+|link__\w+|federation__\w+|@key|@link|@shareable)")

BY_HAND = """query ByHand($of: [_Any!]!) { _service { __typename }
_entities(representations: $of) { ... on AudienceModel { name } } }"""


async def test_federation_is_shown_nowhere_but_runs(visit: Visit, dev_url: str) -> None:
    """In documentation, its search, hints and the explorer; nor is it marked as wrong."""
    page = visit.page
    await open_first(page, dev_url)
    await page.get_by_role("button", name="Show Documentation Explorer").click()
    docs = page.get_by_role("region", name="Documentation Explorer")
    await expect(docs).to_contain_text("AudienceGenerationJobConnection")
    assert OF_FEDERATION.findall(await docs.inner_text()) == []
    await docs.get_by_role("link", name="Query", exact=True).click()
    await expect(docs).to_contain_text("audienceGenerationJobs")
    assert OF_FEDERATION.findall(await docs.inner_text()) == []
    await docs.get_by_role("combobox").fill("_")
    await expect(docs.get_by_role("listbox")).to_be_visible()
    assert OF_FEDERATION.findall(await docs.get_by_role("listbox").inner_text()) == []

    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Show GraphiQL Explorer").click()
    fields = page.locator(".graphiql-explorer-root")
    await expect(fields).to_contain_text("trainingDatasets")
    assert OF_FEDERATION.findall(await fields.inner_text()) == []

    await replace(page, ".graphiql-query-editor", "{ ")
    await page.keyboard.press("Control+Space")
    hints = page.locator(".suggest-widget")
    await expect(hints).to_contain_text("audienceGenerationJobs")
    assert OF_FEDERATION.findall(await hints.inner_text()) == []

    await page.keyboard.press("Escape")
    marks = page.locator(".squiggly-error")
    await open_document(page, BY_HAND.replace("_service", "nothing _service"), "ByHand")
    await expect(marks).to_have_count(1)
    await open_document(page, BY_HAND, "ByHand")
    await expect(marks).to_have_count(0)
    await page.get_by_role("button", name="Variables").click()
    await replace(page, ".graphiql-editor-tool", '{"of": []}')
    await run(page)
    await expect(response(page)).to_contain_text('"_entities": []')
