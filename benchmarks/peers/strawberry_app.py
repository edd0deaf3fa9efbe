"""Strawberry as its documentation shows it: types, a resolver and the ASGI view.

    python -m benchmarks.peers.strawberry_app PORT [UPSTREAM_URL]

It serves a page in memory, or asks the upstream by aioboto3 for each request.
"""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, cast

import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from strawberry.asgi import GraphQL

from benchmarks import upstream
from benchmarks.stock import stock_client


@strawberry.type
class AudienceGenerationJob:
    audience_generation_job_arn: str
    configured_audience_model_arn: str
    name: str
    status: str
    create_time: datetime
    update_time: datetime
    collaboration_id: strawberry.ID | None = None
    description: str | None = None
    started_by: str | None = None

    @strawberry.field
    def id(self) -> strawberry.ID:
        return strawberry.ID(self.audience_generation_job_arn)


@strawberry.type
class AudienceGenerationJobEdge:
    cursor: str
    node: AudienceGenerationJob


@strawberry.type
class PageInfo:
    has_next_page: bool
    end_cursor: str | None


@strawberry.type
class AudienceGenerationJobConnection:
    nodes: list[AudienceGenerationJob]
    page_info: PageInfo

    @strawberry.field
    def edges(self) -> list[AudienceGenerationJobEdge]:
        return [
            AudienceGenerationJobEdge(cursor=job.audience_generation_job_arn, node=job)
            for job in self.nodes
        ]


@strawberry.input
class AudienceGenerationJobFilter:
    created_after: datetime | None = None


def job(row: dict[str, Any]) -> AudienceGenerationJob:
    return AudienceGenerationJob(
        audience_generation_job_arn=row["audienceGenerationJobArn"],
        configured_audience_model_arn=row["configuredAudienceModelArn"],
        name=row["name"],
        status=row["status"],
        create_time=row["createTime"],
        update_time=row["updateTime"],
        collaboration_id=row.get("collaborationId"),
        description=row.get("description"),
        started_by=row.get("startedBy"),
    )


def page_in_memory() -> list[AudienceGenerationJob]:
    body = upstream.page().partition(b"\r\n\r\n")[2]
    rows = json.loads(body)["audienceGenerationJobs"]
    for row in rows:
        for time in ("createTime", "updateTime"):
            row[time] = datetime.fromisoformat(row[time])
    return [job(row) for row in rows]


class Jobs:
    """Lists jobs, from memory or by the client of a running application."""

    client: Any = None
    page: list[AudienceGenerationJob]

    async def list(self, first: int) -> list[AudienceGenerationJob]:
        if self.client is None:
            return self.page[:first]
        answer = await self.client.list_audience_generation_jobs(maxResults=first)
        return [job(row) for row in answer["audienceGenerationJobs"]]


JOBS = Jobs()


@strawberry.type
class Query:
    @strawberry.field
    async def audience_generation_jobs(
        self,
        first: int = 20,
        filter: AudienceGenerationJobFilter | None = None,  # noqa: A002
    ) -> AudienceGenerationJobConnection:
        jobs = await JOBS.list(first)
        if filter is not None and (after := filter.created_after) is not None:
            jobs = [each for each in jobs if each.create_time > after]
        end = jobs[-1].audience_generation_job_arn if jobs else None
        page_info = PageInfo(has_next_page=False, end_cursor=end)
        return AudienceGenerationJobConnection(nodes=jobs, page_info=page_info)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    if len(sys.argv) > 2:
        async with stock_client(sys.argv[2]) as JOBS.client:
            yield
    else:
        JOBS.page = page_in_memory()
        yield


def main() -> None:
    view = GraphQL[None, None](strawberry.Schema(Query))
    app = Starlette(routes=[Route("/graphql", cast("Any", view))], lifespan=lifespan)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
