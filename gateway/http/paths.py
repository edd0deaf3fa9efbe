"""The paths that the gateway serves."""

from typing import Final

GRAPHQL_PATH: Final = "/graphql"

PROBE_PATHS: Final = frozenset({"/livez", "/readyz", "/metrics"})
