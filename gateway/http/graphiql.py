"""The explorer: GraphiQL as built from explorer/, served under a policy that lets nothing out."""

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike, stat_result
from pathlib import Path
from typing import Final, Self

from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from gateway.settings import SettingsError

BUILT: Final = Path(__file__).parent / "explorer"
PLACEHOLDER: Final = "GATEWAY_EXPLORER"  # stands in explorer/index.html

POLICY: Final = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",  # the editor writes its theme into style elements
    "img-src": "'self' data:",  # the editor's squiggles are data:
    "font-src": "'self' data:",  # so are GraphiQL's fonts
    "connect-src": "'self'",
    "worker-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}

PAGE_HEADERS: Final = {
    "Content-Security-Policy": "; ".join(f"{name} {allowed}" for name, allowed in POLICY.items()),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}

ASSET_HEADERS: Final = {
    # A worker obeys the policy that came with its script, not the page's.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "public, max-age=31536000, immutable",
}


@dataclass(frozen=True, slots=True)
class GraphiQL:
    """The explorer, its page filled in once for the life of the application."""

    text: str = field(repr=False)
    built: Path = BUILT

    @classmethod
    def load(
        cls,
        *,
        query: str,
        headers: Mapping[str, str],
        endpoint: str = "/graphql",
        built: Path = BUILT,
    ) -> Self:
        """Read the built page and fill in what it opens with.

        Raises SettingsError if it was not built.
        """
        try:
            page = (built / "index.html").read_text(encoding="utf-8")
        except FileNotFoundError as missing:
            raise SettingsError(
                "GATEWAY_GRAPHIQL: the explorer is not built. Run `make install`."
            ) from missing
        shown = {
            "query": query,
            "headers": json.dumps(dict(headers), indent=2) if headers else "",
            "endpoint": endpoint,
        }
        return cls(page.replace(PLACEHOLDER, html.escape(json.dumps(shown))), built)

    def page(self) -> Response:
        """Answer a browser."""
        return HTMLResponse(self.text, headers=PAGE_HEADERS)

    def assets(self) -> Mount:
        """Route to the scripts, styles and icons. The page as it was built is not among them."""
        return Mount("/explorer/assets", HashedFiles(directory=self.built / "assets"))


class HashedFiles(StaticFiles):
    """Files whose names hold a hash of what is in them, so they never change."""

    def file_response(
        self,
        full_path: str | PathLike[str],
        stat_result: stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Let the browser keep the file for good."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(ASSET_HEADERS)
        return response
