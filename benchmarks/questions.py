"""What the compared servers are asked: the same rows, in the words of each schema."""

import json
from dataclasses import dataclass
from typing import Literal

from benchmarks.client import post
from benchmarks.queries import credential_headers
from benchmarks.wrk import NUMBER

ROW = (
    "audienceGenerationJobArn collaborationId configuredAudienceModelArn createTime "
    "description name startedBy status updateTime"
)
CREATED_AFTER = f"2025-01-01T00:00:00.{NUMBER}Z"
"""Before all rows, so that the filter keeps them."""


@dataclass(frozen=True, slots=True)
class Question:
    """A list of rows: with 11 values each, or with two."""

    rows: int
    every_field: bool
    varying: Literal["nothing", "variable", "text"] = "nothing"
    """What differs in each request: nothing, the value of a variable, or the operation's name."""
    cached: bool = True
    callers: int = 1
    """Among how many callers of the gateway the requests take turns."""

    def requests(self, *, rest_shaped: bool = False) -> list[bytes]:
        """Make the HTTP requests, one for each caller.

        A REST-shaped schema has the upstream's response as it is: a plain list, no connection. The
        other values of its rows are aliases, and its servers know no callers.
        """
        body = self.body(rest_shaped=rest_shaped)
        if rest_shaped:
            return [post("/graphql", body, {})]
        return [post("/graphql", body, credential_headers(each)) for each in range(self.callers)]

    def body(self, *, rest_shaped: bool = False) -> bytes:
        """Return the JSON that is posted."""
        variables: dict[str, object] = {"first": self.rows}
        if self.varying == "variable":
            variables["createdAfter"] = CREATED_AFTER
        query = self.text(rest_shaped=rest_shaped)
        return json.dumps({"query": query, "variables": variables}).encode()

    def text(self, *, rest_shaped: bool = False) -> str:
        """Return the document; if the text varies, with a place for digits in its name."""
        name = f"Jobs_{NUMBER}" if self.varying == "text" else "Jobs"
        declared, arguments = "$first: Int", "first: $first"
        if self.varying == "variable":
            after = "createdAfter: $createdAfter"
            declared += f", $createdAfter: {'String' if rest_shaped else 'DateTime'}"
            arguments += f", {after}" if rest_shaped else f", filter: {{ {after} }}"
        selection = self._rest_selection() if rest_shaped else self._selection()
        return (
            f"query {name}({declared}) {{ audienceGenerationJobs({arguments}) {{ {selection} }} }}"
        )

    def _selection(self) -> str:
        if not self.every_field:
            return "nodes { name status }"
        return f"edges {{ cursor node {{ id {ROW} }} }} pageInfo {{ hasNextPage endCursor }}"

    def _rest_selection(self) -> str:
        if not self.every_field:
            return "audienceGenerationJobs { name status }"
        aliases = "cursor: audienceGenerationJobArn id: audienceGenerationJobArn"
        return f"audienceGenerationJobs {{ {aliases} {ROW} }} nextToken"
