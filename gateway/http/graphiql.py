"""GraphiQL, as built from explorer/, served under a strict content security policy."""

import html
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike, stat_result
from pathlib import Path
from typing import Final, Self

from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from gateway.http.paths import GRAPHQL_PATH
from gateway.settings import SettingsError

BUILT: Final = Path(__file__).parent / "explorer"
PLACEHOLDER: Final = "GATEWAY_EXPLORER"  # in explorer/index.html
BUILT_ASSETS: Final = "./assets/"  # in the built page; files there name each other by relative URLs
ASSETS_PATH: Final = "/explorer/assets"

NEWEST_JOBS: Final = """\
# Run the query with the play button or Ctrl-Enter.
# For the next page, add after: "…" with
# the endCursor of this one.
query NewestJobs {
  audienceGenerationJobs(first: 10) {
    pageInfo {
      hasNextPage
      endCursor
    }
    edges {
      node {
        name
        status
        createTime
        id
      }
      cursor
    }
  }
}
"""

JOB_CHANGES: Final = """\
# Shows the jobs that are created, changed
# or deleted from now on: all, or those of
# the collaboration under Variables. A list
# of 1,000 is read every 20 seconds or less
# often. To watch one job, every 5 seconds:
# audienceGenerationJob(
#   audienceGenerationJobArn: "…")
subscription JobChanges($collaborationId: ID) {
  audienceGenerationJobChanges(
    collaborationId: $collaborationId
  ) {
    kind
    audienceGenerationJob {
      name
      status
      updateTime
      audienceGenerationJobArn
    }
  }
}
"""

POLICY: Final = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",  # the editor writes its theme into style elements
    "img-src": "'self' data:",  # the editor underlines errors with data: URLs
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
    # A worker obeys the policy sent with its script, not the page's.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "public, max-age=31536000, immutable",
    "Accept-Ranges": "none",
}


@dataclass(frozen=True, slots=True)
class HeaderSet:
    """Headers that a user of GraphiQL can choose: a caller's, or those of a scheme to fill in."""

    name: str
    note: str
    headers: Mapping[str, str] = field(repr=False)
    """A value to fill in is empty, or `Bearer` alone; GraphiQL does not send it."""


@dataclass(frozen=True, slots=True)
class Example:
    """A document in a tab of its own, on a user's first visit."""

    query: str
    variables: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SandboxContent:
    """What users of GraphiQL can try where the upstream is known to be a sandbox."""

    callers: Sequence[HeaderSet]
    """Whose headers they can choose; if there are none, they fill in their own."""
    collaboration_id: str
    """Whose jobs the example subscription watches."""


def examples(sandbox: SandboxContent | None = None) -> Sequence[Example]:
    """Return a query of jobs, and a subscription to them: to all, or to some of a sandbox."""
    variables = {"collaborationId": sandbox.collaboration_id} if sandbox else {}
    return Example(NEWEST_JOBS), Example(JOB_CHANGES, variables)


AWS_HEADERS: Final = ("X-Aws-Access-Key-Id", "X-Aws-Secret-Access-Key", "X-Aws-Session-Token")

TEMPLATES: Final[Mapping[str, HeaderSet]] = {
    "aws-headers": HeaderSet("AWS", "access key and session token", dict.fromkeys(AWS_HEADERS, "")),
    "oidc": HeaderSet("Token", "of an OIDC issuer", {"Authorization": "Bearer "}),
}
"""By authentication scheme."""


def header_templates(schemes: Collection[str]) -> Sequence[HeaderSet]:
    """Return what the callers of these authentication schemes have to fill in."""
    return [template for scheme, template in TEMPLATES.items() if scheme in schemes]


@dataclass(frozen=True, slots=True)
class GraphiQL:
    text: str = field(repr=False)  # may hold the credentials of example callers
    built: Path

    @classmethod
    def load(
        cls,
        *,
        header_sets: Sequence[HeaderSet],
        introspection: bool,
        examples: Sequence[Example] = (),
        prefix: str = "",
        built: Path = BUILT,
    ) -> Self:
        """Read the built page and fill in its examples.

        They have the headers of the first of `header_sets`. Clients see the gateway's paths below
        `prefix`.

        Raises SettingsError if the page was not built.
        """
        try:
            page = (built / "index.html").read_text(encoding="utf-8")
        except FileNotFoundError as missing:
            raise SettingsError(
                "GATEWAY_GRAPHIQL: GraphiQL is not built. In a clone, run `make install`; "
                "elsewhere, install the program again: its packages contain GraphiQL."
            ) from missing
        content = {
            "examples": [
                {"query": each.query, "variables": dict(each.variables)} for each in examples
            ],
            "headerSets": [
                {"name": each.name, "note": each.note, "headers": dict(each.headers)}
                for each in header_sets
            ],
            "endpoint": f"{prefix}{GRAPHQL_PATH}",
            "introspection": introspection,
        }
        page = page.replace(BUILT_ASSETS, f"{prefix}{ASSETS_PATH}/")
        return cls(page.replace(PLACEHOLDER, html.escape(json.dumps(content))), built)

    def page(self) -> Response:
        return HTMLResponse(self.text, headers=PAGE_HEADERS)

    def assets(self) -> Mount:
        """Return the route of scripts, styles and icons, but not of the page as it was built."""
        return Mount(ASSETS_PATH, HashedFiles(directory=self.built / "assets"))


class HashedFiles(StaticFiles):
    """Files whose names contain a hash of their content, so browsers may cache them forever.

    They are sent as a whole, whatever `Range` asks for.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [header for header in scope["headers"] if header[0] != b"range"]
        await super().__call__({**scope, "headers": headers}, receive, send)

    def file_response(
        self,
        full_path: str | PathLike[str],
        stat_result: stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(ASSET_HEADERS)
        return response
