"""Small requests without credentials that once cost a gateway much CPU time."""

from collections.abc import Iterator, Mapping

import httpx
import pytest
from graphql import get_introspection_query

from tests.gateways import TIMEOUT_SECONDS, TLS, Sandbox
from tests.hostile.costs import cpu_measured, post, warm
from tests.processes import Process, gateway_process
from tests.telemetry.programs import metric

TIMES = 20
"""How often each request is sent: CPU time is counted in hundredths of a second."""

HEADER_SECONDS = 0.003
DOCUMENT_SECONDS = 0.01
SCHEMA_SECONDS = 0.06

QUERY = '{"query": "{ __typename }"}'
JSON = {"Content-Type": "application/json"}

HEADERS: Mapping[str, Mapping[str, str]] = {
    "Accept": {"Accept": "," * 60_000},
    "Accept with parameters": {"Accept": "text/html" + ";q=1" * 15_000},
    "Cache-Control": {"Cache-Control": "," * 60_000},
    "Content-Type": {"Content-Type": "application/json" + ";" * 60_000},
}

APP = "https://app.example.com"

PREFLIGHTS = {
    "many names": (APP, "a," * 30_000),
    "no name": (APP, "," * 60_000),
    "one name": (APP, "a" * 60_000),
    "a foreign page's": ("https://evil.example", "," * 60_000),
}

LONG = 170_000
LITERALS = {
    "a string": '"' + "x" * LONG + '"',
    "escapes": '"' + "\\n" * (LONG // 2) + '"',
    "a block": '"""' + "x" * LONG + '"""',
}

STANDARD = get_introspection_query(descriptions=False)
FULL_TYPE = STANDARD[STANDARD.index("fragment FullType") :]
TYPES = " ".join(f"a{n}: types {{ ...FullType }}" for n in range(28))
SDL = " ".join(f"a{n}: sdl" for n in range(30))


@pytest.fixture(scope="module")
def process(shared_sandbox: Sandbox) -> Iterator[Process]:
    with gateway_process(shared_sandbox.url, introspection=True, cors_origins=APP) as started:
        warm(started.url)
        post(started.url, STANDARD, headers={})
        post(started.url, "{ _service { sdl } }", headers={})
        yield started


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
def test_a_long_header_costs_no_more_than_a_short_one(
    process: Process, headers: Mapping[str, str]
) -> None:
    with httpx.Client(timeout=TIMEOUT_SECONDS, verify=TLS) as client, cpu_measured(process) as cost:
        for number in range(TIMES):
            # Each is another one, because parsed headers are cached.
            sent = {name: f"{value}{number}" for name, value in headers.items()}
            client.post(f"{process.url}/graphql", content=QUERY, headers={**JSON, **sent})

    assert cost.cpu_seconds < TIMES * HEADER_SECONDS


@pytest.mark.parametrize(("origin", "names"), PREFLIGHTS.values(), ids=PREFLIGHTS)
def test_a_long_preflight_costs_no_more_than_a_short_one(
    process: Process, origin: str, names: str
) -> None:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    with httpx.Client(timeout=TIMEOUT_SECONDS, verify=TLS) as client, cpu_measured(process) as cost:
        for _ in range(TIMES):
            sent = {**headers, "Access-Control-Request-Headers": names}
            response = client.options(f"{process.url}/graphql", headers=sent)
            assert (response.status_code, len(response.content) < 1000) == (400, True)

    assert cost.cpu_seconds < TIMES * HEADER_SECONDS


@pytest.mark.parametrize("literal", LITERALS.values(), ids=LITERALS)
def test_one_long_token_is_not_read(process: Process, literal: str) -> None:
    """A document is limited by its characters too, not only by its tokens."""
    query = f"{{ nodes(ids: [{literal}]) {{ id }} }}"
    with cpu_measured(process) as cost:
        answers = [post(process.url, query, headers={}) for _ in range(TIMES)]

    assert cost.cpu_seconds < TIMES * DOCUMENT_SECONDS
    assert {answer.json()["errors"][0]["extensions"]["code"] for answer in answers} == {
        "LIMIT_EXCEEDED"
    }


@pytest.mark.parametrize("name", ["documentId", "sha256Hash"])
def test_a_long_id_is_neither_searched_for_nor_repeated(process: Process, name: str) -> None:
    """Nor is a long text, whose hash is not the one that was sent."""
    hashed = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "x" * LONG}}}
    parameters = {"documentId": "x" * LONG} if name == "documentId" else hashed
    wrong = {
        "query": "x" * LONG,
        "extensions": {"persistedQuery": {"version": 1, "sha256Hash": ""}},
    }
    with httpx.Client(timeout=TIMEOUT_SECONDS, verify=TLS) as client, cpu_measured(process) as cost:
        for sent in (parameters, wrong):
            for _ in range(TIMES):
                response = client.post(f"{process.url}/graphql", json=sent)
                assert len(response.content) < 1000
    assert cost.cpu_seconds < 2 * TIMES * HEADER_SECONDS
    assert "xxx" not in "".join(process.output)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (STANDARD, 200),
        ("{ __schema { " + TYPES + " } } " + FULL_TYPE, 400),
        ("{ _service { " + SDL + " } }", 200),
    ],
    ids=["introspection", "a multiple of the types", "a multiple of the SDL"],
)
def test_reading_the_schema_is_bounded(process: Process, query: str, status: int) -> None:
    with cpu_measured(process) as cost:
        answers = [post(process.url, query, headers={}) for _ in range(TIMES // 4)]

    assert cost.cpu_seconds < TIMES // 4 * SCHEMA_SECONDS
    assert {answer.status_code for answer in answers} == {status}


@pytest.mark.parametrize(
    ("limit", "query"),
    [
        ("document_characters", f"{{ nodes(ids: [{LITERALS['a string']}]) {{ id }} }}"),
        ("introspection", "{ __schema { " + TYPES + " } } " + FULL_TYPE),
        ("lines", "\n" * 5000 + "{ __typename }"),
        ("ids", "{ _entities(representations: [" + "{} " * 501 + "]) { __typename } }"),
    ],
)
def test_a_rejection_is_counted_by_its_limit(process: Process, limit: str, query: str) -> None:
    before = metric(process.url, "gateway_rejections_total", limit=limit)
    post(process.url, query, headers={})

    assert metric(process.url, "gateway_rejections_total", limit=limit) == before + 1
