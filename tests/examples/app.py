"""The example frontends as a person uses them, and what they serve over."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.async_api import Locator, Page, Request, expect

from gateway.sandbox import CALLERS, ROLE_ARNS
from tests.browser import Visit
from tests.gateways import Gateway, Sandbox, gateway_over, still_sandbox
from tests.processes import clean_environment, process
from tests.serving import serve

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

MAX_CALLS = 6
"""Enough for grace's 240 jobs, too few for ada's 1,234."""


PREVIEW = re.compile(r"Local:\s+(http://[\w.:]+)")

# What the browser itself says of a response that is an error.
EXPECTED_CONSOLE = re.compile(r"error: Failed to load resource: .*")


@dataclass(frozen=True)
class Served:
    """The production build of an example, and a gateway that executes any document."""

    url: str
    gateway: Gateway

    @property
    def sandbox(self) -> Sandbox:
        return self.gateway.sandbox


ISSUER = """
[[issuer]]
issuer = "{url}/oidc"
audiences = ["audience-gateway"]

[[issuer.role]]
match = {{ sub = "edith" }}
role_arn = "{role_arn}"
"""


@contextmanager
def served_example(name: str) -> Iterator[Served]:
    """Serve a build over a gateway that executes nothing but the documents of this build."""
    folder = EXAMPLES / name
    with TemporaryDirectory() as temporary, serve(still_sandbox()) as url:
        oidc_file = Path(temporary) / "oidc.toml"
        oidc_file.write_text(ISSUER.format(url=url, role_arn=ROLE_ARNS["edith"]), "utf-8")
        with (
            gateway_over(
                Sandbox(url),
                max_upstream_calls=MAX_CALLS,
                cache_seconds=0,
                watch_seconds=0.1,
                persisted_documents_file=folder / "persisted-documents.json",
                persisted_only=True,
                callers={"aws-headers", "oidc"},
                oidc_file=oidc_file,
                sts_url=url,
            ) as gateway,
            gateway_over(Sandbox(url), cache_seconds=0) as open_gateway,
            process(
                [str(ROOT / "scripts/with-node"), "npx", "vite", "preview", "--port=0"],
                {**clean_environment(), "GATEWAY_URL": gateway.url, "NO_COLOR": "1"},
                folder=folder,
                ready=PREVIEW,
            ) as preview,
        ):
            yield Served(preview.url, open_gateway)


@dataclass
class App:
    """An example in a browser window."""

    visit: Visit
    sent: list[Request] = field(default_factory=list)
    """Requests to the gateway."""

    def __post_init__(self) -> None:
        def record(request: Request) -> None:
            if request.url.endswith("/graphql"):
                self.sent.append(request)

        self.page.on("request", record)

    @property
    def page(self) -> Page:
        return self.visit.page

    async def sign_in(self, caller: str) -> None:
        """Paste the caller's credentials, as a shell exports them, and wait for their jobs."""
        await self.page.get_by_label("Paste").fill(exports(caller))
        await self.button("Sign in").click()
        await expect(self.rows.first).to_be_visible()

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def chip(self, status: str) -> Locator:
        """Return the filter by a status, whose name goes on with a number."""
        return self.page.get_by_role("group", name="Status").get_by_role(
            "button", name=re.compile(rf"^{status}( [\d,]+)?$")
        )

    def header(self, name: str) -> Locator:
        return self.page.get_by_role("columnheader", name=name)

    @property
    def rows(self) -> Locator:
        return self.page.locator("tbody tr")

    @property
    def panel(self) -> Locator:
        return self.page.get_by_role("complementary")

    @property
    def notice(self) -> Locator:
        """The message about a problem."""
        return self.page.get_by_role("alert")

    async def arns(self) -> list[str]:
        """Return the ARNs of the rows, in their order."""
        script = "buttons => buttons.map(button => button.dataset.arn)"
        arns: list[str] = await self.page.locator("tbody [data-arn]").evaluate_all(script)
        return arns

    async def expect_arns(self, arns: Sequence[str]) -> None:
        """Wait for these rows, and no others."""
        await expect(self.rows).to_have_count(len(arns))
        if arns:
            await expect(self.rows.first.locator("[data-arn]")).to_have_attribute(
                "data-arn", arns[0]
            )
        assert await self.arns() == list(arns)

    async def load_all(self) -> int:
        """Scroll to the end of the list; return the number of pages that were loaded on the way."""
        end = self.page.get_by_text("End of the list")
        pages = 0
        while not await end.is_visible():
            pages += 1
            count = await self.rows.count()
            await self.rows.last.scroll_into_view_if_needed()
            await expect(self.rows.nth(count).or_(end).first).to_be_attached()
        return pages

    def row(self, arn: str) -> Locator:
        """Return the button that opens a job."""
        return self.page.locator(f'[data-arn="{arn}"]')

    async def open(self, arn: str) -> None:
        await self.row(arn).click()
        await expect(self.panel.get_by_role("term").first).to_be_visible()

    async def stored(self) -> str:
        """Return everything that the browser stores for the page."""
        stored = await self.page.evaluate(
            """async () => [
                {...localStorage}, {...sessionStorage}, document.cookie,
                await indexedDB.databases(), await caches.keys(), history.state,
            ]"""
        )
        return json.dumps(stored)

    def assert_clean(self) -> None:
        """Check what holds of every visit."""
        assert self.visit.errors == []
        console = [line for line in self.visit.console if not EXPECTED_CONSOLE.fullmatch(line)]
        assert console == []
        for request in self.sent:
            body = request.post_data_json
            assert body is not None
            assert body.keys() <= {"documentId", "variables", "operationName", "extensions"}, body


def exports(caller: str) -> str:
    """Return a caller's credentials as lines for a shell."""
    return "\n".join(f'export {name}="{value}"' for name, value in environment(caller).items())


def environment(caller: str) -> dict[str, str]:
    keys = CALLERS[caller]
    return {
        "AWS_ACCESS_KEY_ID": keys.access_key_id,
        "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
        "AWS_SESSION_TOKEN": keys.session_token or "",
    }


def sts_credentials(caller: str) -> dict[str, object]:
    """Return them as STS and `aws configure export-credentials` do."""
    keys = CALLERS[caller]
    return {
        "Version": 1,
        "AccessKeyId": keys.access_key_id,
        "SecretAccessKey": keys.secret_access_key,
        "SessionToken": keys.session_token,
    }
