"""What a request has cost: told to whoever asks for it."""

from dataclasses import dataclass, field
from typing import Any

MAX_REQUEST_IDS = 100


@dataclass(slots=True)
class Cost:
    """Counts what one request makes the upstream, and the cache, do."""

    upstream_calls: int = 0
    cache_hits: int = 0
    """Answers of the cache, and of calls that others had under way."""
    retries: int = 0
    scanned: int = 0
    """Items of lists that were looked at."""
    aws_request_ids: list[str] = field(default_factory=list)

    def called(self, metadata: dict[str, Any]) -> None:
        """Count an answer of the upstream, by what botocore tells of it."""
        self.upstream_calls += 1
        self.retries += metadata.get("RetryAttempts", 0)
        request_id = metadata.get("RequestId")
        if request_id and len(self.aws_request_ids) < MAX_REQUEST_IDS:
            self.aws_request_ids.append(request_id)

    def log_fields(self) -> dict[str, Any]:
        """Give what a log line has of it."""
        return {
            "upstream_calls": self.upstream_calls,
            "cache_hits": self.cache_hits,
            "retries": self.retries,
        }

    def extensions(self) -> dict[str, Any]:
        """Give the public form."""
        return {
            "upstreamCalls": self.upstream_calls,
            "cacheHits": self.cache_hits,
            "retries": self.retries,
            "scanned": self.scanned,
            "awsRequestIds": self.aws_request_ids,
        }
