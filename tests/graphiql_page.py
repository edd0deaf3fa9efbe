"""What the gateway writes into the page of GraphiQL."""

import html
import json
import re
from typing import Any


def content_of(page: str) -> dict[str, Any]:
    """Return what the gateway has written into the page."""
    found = re.search('name="gateway-explorer" content="([^"]*)"', page)
    assert found is not None
    content: dict[str, Any] = json.loads(html.unescape(found[1]))
    return content
