"""The example frontends: their production builds in a real browser, over the sandbox."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser import chromium, new_page
from tests.examples.app import (
    EXAMPLES,
    App,
    Served,
    environment,
    exports,
    served_example,
    sts_credentials,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

AXE = (EXAMPLES / "node_modules/axe-core/axe.min.js").read_text("utf-8")

JOBS = """query Jobs(
  $modelArn: String, $filter: AudienceGenerationJobFilter, $orderBy: AudienceGenerationJobOrder
) {
  audienceGenerationJobs(
    first: 500, configuredAudienceModelArn: $modelArn, filter: $filter, orderBy: $orderBy
  ) {
    nodes { audienceGenerationJobArn configuredAudienceModelArn }
    statusCounts { status count }
  }
}"""

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

EXPORT = """{
  audienceExportJobs(first: 1) {
    nodes { name audienceGenerationJob { audienceGenerationJobArn name } }
  }
}"""


@pytest.fixture(scope="module", params=["relay", "apollo"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    with served_example(request.param) as served:
        yield served


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def app(browser: Browser, served: Served) -> AsyncIterator[App]:
    """Open the page; at the end, check what holds of every visit."""
    served.sandbox.reset()
    async with new_page(browser) as visit:
        app = App(visit)
        await visit.page.goto(served.url)
        yield app
        app.assert_clean()


def jobs(served: Served, caller: str, **variables: Any) -> Any:
    """Return what the gateway says of a caller's jobs."""
    return served.gateway.ask(JOBS, variables, caller=caller).data["audienceGenerationJobs"]


def arns(served: Served, caller: str, **variables: Any) -> list[str]:
    nodes = jobs(served, caller, **variables)["nodes"]
    return [job["audienceGenerationJobArn"] for job in nodes]


PASTED = [
    exports("ada"),
    "\n".join(f"set {name}={value}" for name, value in environment("ada").items()),
    "\n".join(f'$Env:{name}="{value}"' for name, value in environment("ada").items()),
    "[default]\n"
    + "\n".join(f"{name.lower()} = {value}" for name, value in environment("ada").items()),
    json.dumps(sts_credentials("ada")),
    json.dumps({"Credentials": sts_credentials("ada"), "SubjectFromWebIdentityToken": "ada"}),
]


async def test_credentials_are_found_in_what_is_pasted(app: App) -> None:
    """What is pasted is gone at once; the fields have its parts."""
    paste = app.page.get_by_label("Paste")
    fields = [
        app.page.get_by_label(label, exact=True)
        for label in ("Access key id", "Secret access key", "Session token")
    ]
    for text in PASTED:
        for field in fields:
            await field.fill("")
        await paste.fill(text)
        for field, value in zip(fields, environment("ada").values(), strict=True):
            await expect(field).to_have_value(value)
        await expect(paste).to_have_value("")
    await paste.fill("AWS_REGION=us-east-1")
    await expect(app.page.get_by_text("No credentials found. Accepted:")).to_be_visible()


async def test_a_token_signs_in(app: App, served: Served) -> None:
    await app.button("Token").click()
    await app.page.get_by_label("Token of your identity provider").fill(
        served.sandbox.issue_token("edith")
    )
    await app.button("Sign in").click()
    await app.expect_arns(arns(served, "edith"))


async def test_who_had_a_token_is_asked_for_a_token_again(app: App, served: Served) -> None:
    await app.button("Token").click()
    token = app.page.get_by_label("Token of your identity provider")
    await token.fill(served.sandbox.issue_token("edith")[:-1])
    await app.button("Sign in").click()
    dialog = app.page.get_by_role("dialog")
    await expect(dialog.get_by_label("Token of your identity provider")).to_be_visible()


async def test_reloading_shows_what_is_new(app: App, served: Served) -> None:
    """In the table and in the counts."""
    await app.sign_in("edith")
    before = await app.arns()
    await expect(app.page.get_by_text(f"{len(before)} jobs")).to_be_visible()
    arn = served.sandbox.start_job("edith")
    served.sandbox.set_job_status(arn, "ACTIVE")
    await app.button("Reload").click()

    await app.expect_arns([arn, *before])
    await expect(app.page.get_by_text(f"{len(before) + 1} jobs")).to_be_visible()
    await expect(app.button("Reload")).to_be_focused()


async def test_scrolling_loads_every_job_once(app: App, served: Served) -> None:
    await app.sign_in("grace")
    pages = await app.load_all()

    assert pages >= 4
    await app.expect_arns(arns(served, "grace"))


# What a browser does when the page was busy: it reports the end out of view, and in view, at once.
SEVERAL_CHANGES_AT_ONCE = """
    const Original = window.IntersectionObserver;
    window.IntersectionObserver = class extends Original {
        constructor(callback, options) {
            const before = { isIntersecting: false };
            super((entries, observer) => callback([before, ...entries], observer), options);
        }
    };
"""


async def test_scrolling_loads_pages_while_the_browser_is_busy(app: App, served: Served) -> None:
    await app.page.add_init_script(SEVERAL_CHANGES_AT_ONCE)
    await app.page.reload()
    await app.sign_in("grace")
    await app.load_all()
    await app.expect_arns(arns(served, "grace"))


async def test_a_job_that_moves_to_another_page_is_shown_once(app: App, served: Served) -> None:
    """One that is updated while pages are loaded goes to the end of a list by update time."""
    await app.sign_in("grace")
    order = {"field": "UPDATE_TIME", "direction": "ASC"}
    first, *_ = arns(served, "grace", orderBy=order)
    await app.header("Updated").get_by_role("button").click()
    await expect(app.rows.first.locator("[data-arn]")).to_have_attribute("data-arn", first)

    served.sandbox.set_job_status(first, "ACTIVE")
    await app.load_all()

    expected = arns(served, "grace", orderBy=order)
    assert first not in expected[:50]
    assert sorted(await app.arns()) == sorted(expected)


async def test_filters_by_status_and_name(app: App, served: Served) -> None:
    """Each status has the number of its jobs, whatever statuses are selected."""
    await app.sign_in("grace")
    counts = jobs(served, "grace")["statusCounts"]
    count = {each["status"]: each["count"] for each in counts}
    await expect(app.page.get_by_text("240 jobs")).to_be_visible()
    await expect(app.chip("Failed")).to_have_text(f"Failed {count['CREATE_FAILED']}")

    await app.chip("Failed").press("Enter")
    await app.expect_arns(arns(served, "grace", filter={"status": ["CREATE_FAILED"]}))
    await expect(app.page.get_by_text(f"{count['CREATE_FAILED']} jobs")).to_be_visible()
    await expect(app.chip("Active")).to_have_text(f"Active {count['ACTIVE']}")

    await app.page.get_by_label("Name contains").fill("gold")
    filter_ = {"status": ["CREATE_FAILED"], "nameContains": "gold"}
    await app.expect_arns(arns(served, "grace", filter=filter_))

    await app.page.get_by_label("Name contains").fill("no job has this name")
    await expect(app.page.get_by_text("No job matches")).to_be_visible()
    await app.button("Clear filters").click()
    await expect(app.page.get_by_text("240 jobs")).to_be_visible()
    await expect(app.page.get_by_label("Name contains")).to_be_focused()


async def test_a_header_sorts_both_ways_and_back(app: App, served: Served) -> None:
    await app.sign_in("edith")
    header = app.header("Name")
    for direction, sort in (("ASC", "ascending"), ("DESC", "descending")):
        await header.get_by_role("button").press("Enter")
        await expect(header).to_have_attribute("aria-sort", sort)
        order = {"field": "NAME", "direction": direction}
        await app.expect_arns(arns(served, "edith", orderBy=order))
    await header.get_by_role("button").press("Enter")
    await expect(header).to_have_attribute("aria-sort", "none")
    await app.expect_arns(arns(served, "edith"))


async def test_a_panel_shows_a_job_and_returns_the_focus(app: App, served: Served) -> None:
    await app.sign_in("grace")
    (export,) = served.gateway.ask(EXPORT, caller="grace").data["audienceExportJobs"]["nodes"]
    job = export["audienceGenerationJob"]
    opener = app.row(job["audienceGenerationJobArn"])
    await opener.press("Enter")

    await expect(app.panel.get_by_role("heading", name="Job", exact=True)).to_be_focused()
    await expect(app.panel.get_by_role("heading", name=job["name"])).to_be_visible()
    await expect(app.panel.get_by_role("img", name="Relevance: 1 %")).to_be_visible()
    await expect(app.panel.get_by_text(export["name"])).to_be_visible()

    await app.page.keyboard.press("Escape")
    await expect(app.panel).to_have_count(0)
    await expect(opener).to_be_focused()


async def test_a_panel_leads_to_the_jobs_of_its_model(app: App, served: Served) -> None:
    """AWS filters by it: so a list can be sorted that is too long as a whole."""
    await app.sign_in("ada")
    job, *_ = jobs(served, "ada")["nodes"]
    await app.open(job["audienceGenerationJobArn"])
    await app.panel.get_by_role("button", name="Show its jobs").click()
    await expect(app.page.get_by_text(re.compile("^Model: "))).to_be_visible()
    await app.header("Name").get_by_role("button").click()

    order = {"field": "NAME", "direction": "ASC"}
    of_model = arns(served, "ada", modelArn=job["configuredAudienceModelArn"], orderBy=order)
    await app.expect_arns(of_model[:50])


async def test_a_job_that_is_done_says_so(app: App, served: Served) -> None:
    """In the panel, in words that are read aloud, and in its row."""
    arn = served.sandbox.start_job("edith")
    served.sandbox.set_job_status(arn, "CREATE_IN_PROGRESS")
    await app.sign_in("edith")
    await app.open(arn)
    live = app.panel.get_by_role("status")
    await expect(live).to_contain_text("Live")

    served.sandbox.set_job_status(arn, "ACTIVE")

    await expect(live).to_contain_text("is done: Active")
    await expect(app.rows.first).to_contain_text("Active")


async def test_expired_credentials_open_the_form_over_the_table(app: App, served: Served) -> None:
    # The gateway remembers refused credentials for a while: no other test uses these.
    await app.sign_in("ada_again")
    served.sandbox.fault("expired-token-credentials")
    await app.rows.last.scroll_into_view_if_needed()

    dialog = app.page.get_by_role("dialog")
    await expect(dialog).to_be_visible()
    await expect(app.rows).to_have_count(50)

    served.sandbox.reset()
    await dialog.get_by_label("Paste").fill(json.dumps(sts_credentials("edith")))
    await dialog.get_by_role("button", name="Sign in", exact=True).click()
    await app.expect_arns(arns(served, "edith"))
    await expect(dialog).to_have_count(0)
    await expect(app.page.get_by_role("main")).to_be_focused()


async def test_throttling_is_waited_out(app: App, served: Served) -> None:
    await app.page.clock.install()
    await app.sign_in("grace")
    served.sandbox.fault("throttle", retry_after=30)
    await app.header("Status").get_by_role("button").click()

    await expect(app.page.get_by_text("Again in 30 s").first).to_be_visible()
    await expect(app.rows.first).to_be_visible()
    served.sandbox.reset()
    await app.page.clock.fast_forward(31_000)

    order = {"field": "STATUS", "direction": "ASC"}
    await app.expect_arns(arns(served, "grace", orderBy=order)[:50])
    await expect(app.notice).to_have_count(0)


async def test_a_next_page_that_is_throttled_comes_later(app: App, served: Served) -> None:
    await app.page.clock.install()
    await app.sign_in("grace")
    served.sandbox.fault("throttle", retry_after=30)
    await app.rows.last.scroll_into_view_if_needed()
    await expect(app.notice).to_contain_text("More jobs: AWS asks for a pause")
    await expect(app.rows).to_have_count(50)

    served.sandbox.reset()
    await app.page.clock.fast_forward(31_000)

    await expect(app.rows.nth(50)).to_be_attached()
    await expect(app.notice).to_have_count(0)
    loaded = await app.arns()
    assert loaded == arns(served, "grace")[: len(loaded)]


async def test_what_fails_alone_is_missing_alone(app: App, served: Served) -> None:
    await app.sign_in("edith")
    arn, *_ = await app.arns()
    served.sandbox.fault("denied", operation="ListAudienceExportJobs")
    await app.open(arn)

    await expect(app.panel.get_by_role("alert")).to_contain_text("Exports: Not allowed.")
    await expect(app.panel.get_by_text("None yet")).to_have_count(0)
    await expect(app.panel.get_by_text(arn)).to_be_visible()


async def test_counts_that_fail_say_so_and_leave_the_table(app: App, served: Served) -> None:
    await app.sign_in("edith")
    await expect(app.page.get_by_text(re.compile(r"^\d+ jobs$"))).to_be_visible()
    served.sandbox.fault("denied")
    await app.chip("Active").click()

    await expect(app.notice.filter(has_text="Counts: Not allowed.")).to_be_visible()
    await expect(app.rows.first).to_be_visible()


async def test_a_list_too_long_to_sort_or_count(app: App) -> None:
    await app.sign_in("ada")
    await app.header("Name").get_by_role("button").click()

    await expect(app.notice).to_contain_text("too long to be sorted")
    await expect(app.page.get_by_role("table")).to_have_attribute("aria-busy", "false")
    await expect(app.chip("Active")).to_have_text("Active")
    await expect(app.rows.first).to_be_visible()


async def test_a_lost_connection_comes_back(app: App) -> None:
    """The page tries more than once."""
    await app.page.clock.install()
    await app.sign_in("edith")
    await app.page.context.set_offline(True)
    await app.header("Name").get_by_role("button").click()
    await expect(app.notice.first).to_contain_text("No connection to the gateway")

    await app.page.clock.fast_forward(6_000)
    await expect(app.page.get_by_text(re.compile(r"Again in \d s")).first).to_be_visible()
    await app.page.context.set_offline(False)
    await app.page.clock.fast_forward(6_000)

    await expect(app.notice).to_have_count(0)
    await expect(app.header("Name")).to_have_attribute("aria-sort", "ascending")


async def test_signing_out_leaves_nothing(app: App, served: Served) -> None:
    await app.sign_in("edith")
    names = await app.rows.locator("[data-arn]").all_inner_texts()
    await app.button("Sign out").click()
    await expect(app.page.get_by_role("heading", name="Sign in")).to_be_visible()

    html = await app.page.content()
    stored = await app.stored()
    for secret in environment("edith").values():
        assert secret not in html
        assert secret not in stored
        assert all(secret not in url for url in app.visit.requests)
    assert all(name not in html for name in names)
    assert stored == json.dumps([{}, {}, "", [], [], None])
    assert app.page.url == f"{served.url}/"

    await app.sign_in("grace")
    assert not set(arns(served, "edith")) & set(await app.arns())


async def test_fits_a_narrow_screen(app: App) -> None:
    width = 390
    await app.page.set_viewport_size({"width": width, "height": 844})

    async def assert_fits() -> None:
        assert await app.page.evaluate("document.documentElement.scrollWidth") == width

    await assert_fits()
    await app.sign_in("grace")
    await assert_fits()
    await app.open((await app.arns())[9])
    await expect(app.rows.first).to_be_hidden()
    await assert_fits()
    await app.button("Close").click()
    await expect(app.rows.nth(9)).to_be_visible()


async def test_has_no_accessibility_faults(app: App, served: Served) -> None:
    """When signed out, with an open job and a problem, and with the form over the table."""
    await app.page.emulate_media(reduced_motion="reduce")
    await _expect_accessible(app)

    await app.sign_in("edith")
    served.sandbox.fault("denied", operation="ListAudienceExportJobs")
    await app.chip("Active").click()
    active = arns(served, "edith", filter={"status": ["ACTIVE"]})
    await app.expect_arns(active)
    await app.open(active[0])
    await expect(app.notice).to_be_visible()
    await _expect_accessible(app)

    await app.button("Sign out").click()
    await app.page.get_by_label("Paste").fill(exports("edith").replace("sandbox", "wrong"))
    await app.button("Sign in").click()
    await expect(app.page.get_by_role("dialog")).to_be_visible()
    await _expect_accessible(app)


async def _expect_accessible(app: App) -> None:
    await app.page.evaluate(AXE)
    for scheme in SCHEMES:
        await app.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found = await app.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert [
            (scheme, fault["id"], node["html"], node["failureSummary"])
            for fault in found["violations"]
            for node in fault["nodes"]
        ] == []
