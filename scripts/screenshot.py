"""Take docs/graphiql.png: GraphiQL of `gateway dev` after its example query.

    make screenshot

Needs Chromium on PATH.
"""

import re
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from scripts.programs import find, how_to_install

PICTURE = Path(__file__).resolve().parents[1] / "docs/graphiql.png"
SIZE = {"width": 1280, "height": 800}
TIMEOUT_MS = 30_000


def take(url: str, chromium: str) -> None:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"]  # root, as in a container, cannot use it
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]  # a TypedDict of two ints
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(url)
        expect(page.locator(".graphiql-query-editor .view-line").first).to_be_visible()
        page.get_by_role("button", name="Execute query").click()
        expect(page.locator(".graphiql-response")).to_contain_text("hasNextPage")
        expect(page.get_by_role("button", name="Explain")).to_be_visible()
        page.mouse.move(0, 0)
        page.screenshot(path=PICTURE, animations="disabled")
        browser.close()


def main() -> None:
    chromium = find("chromium")
    if chromium is None:
        sys.exit(f"Chromium is not installed. On Debian: {how_to_install(['chromium'])}")
    command = [sys.executable, "-m", "gateway", "dev"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as gateway:  # noqa: S603
        try:
            for line in gateway.stdout or ():
                if found := re.fullmatch(r"\s*(http://\S+/graphql)\s*", line):
                    take(found[1], chromium)
                    break
        finally:
            gateway.terminate()


if __name__ == "__main__":
    main()
