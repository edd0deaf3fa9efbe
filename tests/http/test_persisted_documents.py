"""Documents that are named by an id: those of the manifest, and those that clients have sent.

tests/clients has the clients themselves, tests/federation the routers.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.manifest import Manifest
from gateway.http.middleware import RequestLog
from gateway.http.parameters import Parameters, parse_body, parse_query_string
from gateway.http.persisted_documents import PersistedDocuments
from gateway.http.responses import HttpError
from gateway.settings import Settings
from tests.event_streams import JOB, SSE, TRANSPORTS, Complete, Result, requested, subscribed
from tests.gateways import GRAPHQL, Gateway, Sandbox, gateway_over, http
from tests.http.persisted import by_hash, hash_of, new_document, query_string, results, send

LISTED = "query Listed { audienceGenerationJobs(first: 2) { nodes { name } } }"
PAGE = "query Page($first: Int!) { audienceGenerationJobs(first: $first) { nodes { name } } }"
LIVE = f"{JOB} # listed"
MANIFEST = {hash_of(LISTED): LISTED, "md5-of-page": PAGE, f"sha256:{hash_of(LIVE)}": LIVE}

SECRET = "a-secret-of-the-router"
SHOWN = {"X-Router-Secret": SECRET}
NOT_FOUND = {
    "message": "PersistedQueryNotFound",
    "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("persisted")
    (folder / "documents.json").write_text(json.dumps(MANIFEST))
    (folder / "secrets").write_text(SECRET)
    return {
        "persisted_documents_file": folder / "documents.json",
        "router_secret_file": folder / "secrets",
        "cache_seconds": 0,
    }


@pytest.fixture(scope="module")
def shared_listing(shared_sandbox: Sandbox, files: dict[str, Any]) -> Iterator[Gateway]:
    with gateway_over(shared_sandbox, **files) as gateway:
        yield gateway


@pytest.fixture
def listing(shared_listing: Gateway, sandbox: Sandbox) -> Gateway:
    """Return a gateway with a manifest, which accepts other documents too."""
    assert shared_listing.sandbox is sandbox
    return shared_listing


@pytest.fixture(scope="module")
def shared_strict(shared_sandbox: Sandbox, files: dict[str, Any]) -> Iterator[Gateway]:
    with gateway_over(shared_sandbox, persisted_only=True, **files) as gateway:
        yield gateway


@pytest.fixture
def strict(shared_strict: Gateway, sandbox: Sandbox) -> Gateway:
    """Return a gateway that accepts the documents of its manifest only."""
    assert shared_strict.sandbox is sandbox
    return shared_strict


# What clients look for


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("accept", [GRAPHQL, "application/json", "*/*", f"{SSE}, {GRAPHQL}"])
@pytest.mark.parametrize("parameters", [by_hash("00"), {"documentId": "sha256:00"}])
def test_an_unknown_document_is_answered_in_the_form_that_clients_look_for(
    gateway: Gateway, strict: Gateway, method: str, accept: str, parameters: dict[str, Any]
) -> None:
    """@apollo/gateway, Hive Gateway and Apollo's mobile clients read the body of a 200 only.

    GraphQL over HTTP wants a single error.
    """
    for served in (gateway, strict):
        answer = send(served, parameters, method=method, headers={"Accept": accept})

        assert (answer.status, answer.content) == (200, {"errors": [NOT_FOUND]})
        assert answer.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize("query", [{}, {"query": "{ __typename }"}])
def test_another_version_is_not_supported(gateway: Gateway, query: dict[str, str]) -> None:
    """Clients then send the query alone."""
    answer = send(gateway, {**query, **by_hash("00", version=2)})

    assert answer.status == 200
    assert answer.content == {
        "errors": [
            {
                "message": "PersistedQueryNotSupported",
                "extensions": {"code": "PERSISTED_QUERY_NOT_SUPPORTED"},
            }
        ]
    }


# Parameters


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
members = st.fixed_dictionaries(
    {}, optional={"version": st.just(1) | json_values, "sha256Hash": json_values}
)


def is_malformed(form: Any) -> bool:
    if not isinstance(form, dict):
        return form is not None
    return type(form.get("version")) is not int or not isinstance(form.get("sha256Hash"), str)


def refused(parameters: dict[str, Any], words: str) -> None:
    """Assert that both methods refuse parameters with these words."""
    body = json.dumps(parameters).encode()
    with pytest.raises(HttpError, match=f"{words}.* Accepted: ") as by_post:
        parse_body(body)
    assert (by_post.value.status, by_post.value.error.code) == (400, "BAD_USER_INPUT")


@given(
    form=(members | json_values).filter(is_malformed),
    query=st.sampled_from(["{ __typename }", "", None]),
)
def test_any_other_form_of_a_hash_is_a_400_that_names_it(form: Any, query: str | None) -> None:
    refused({"query": query, "extensions": {"persistedQuery": form}}, "`extensions.persistedQuery`")


@given(document_id=json_values.filter(lambda each: each is not None and not isinstance(each, str)))
def test_an_id_that_is_no_text_is_a_400_that_names_it(document_id: Any) -> None:
    refused({"documentId": document_id}, "`documentId`")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "`query`"),
        ({"documentId": ""}, "`documentId`"),
        ({"documentId": None, "query": None}, "`query`"),
        ({"extensions": {"persistedQuery": None}}, "`query`"),
        ({"documentId": "a", "query": "{ a }"}, "`query` and `documentId`"),
        ({"documentId": "a", **by_hash("a")}, "`documentId` and `extensions.persistedQuery`"),
        ({"documentId": "a", "variables": 1}, "`variables`"),
        ({"documentId": "a", "operationName": 1}, "`operationName`"),
    ],
)
def test_parameters_that_do_not_fit_are_a_400(parameters: dict[str, Any], words: str) -> None:
    refused(parameters, words)


def test_null_is_the_same_as_nothing() -> None:
    """Relay's network functions often send both members."""
    assert parse_body(b'{"documentId": null, "query": "{ a }"}').document_id is None
    assert parse_body(b'{"documentId": "a", "query": null}').query == ""
    assert parse_body(b'{"documentId": "a", "query": ""}').document_id == "a"


@pytest.mark.parametrize("prefix", ["", "sha256:"])
@pytest.mark.parametrize("parameters", [{"documentId": "{}"}, by_hash("{}")])
def test_both_methods_read_the_same(prefix: str, parameters: dict[str, Any]) -> None:
    text = json.dumps({**parameters, "variables": {"a": 1}}).replace("{}", f"{prefix}abc")
    sent = json.loads(text)
    expected = Parameters("", "abc", None, {"a": 1}, has_fallback="extensions" in parameters)

    assert parse_body(text.encode()) == expected
    assert parse_query_string(query_string(sent).encode()) == expected


# Documents that clients have sent


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("served", ["gateway", "listing"])
def test_a_document_that_was_sent_with_its_hash_is_found(
    request: pytest.FixtureRequest, served: str, method: str
) -> None:
    """By every caller, by both methods, in each form, with a manifest or without."""
    target: Gateway = request.getfixturevalue(served)
    text = new_document()
    document_hash = hash_of(text)
    sent = send(target, {"query": text, **by_hash(document_hash, miss=True)}, method=method)
    found = [
        send(target, parameters, method=other, caller=caller).data
        for caller in ("ada", "edith")
        for other in ("GET", "POST")
        for parameters in (
            by_hash(document_hash),
            {"documentId": document_hash},
            {"documentId": f"sha256:{document_hash}"},
        )
    ]

    assert len(sent.data["audienceGenerationJobs"]["nodes"]) == 1
    assert found[:6] == [sent.data] * 6
    assert found[6:] == [send(target, {"query": text}, caller="edith").data] * 6


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_subscription_that_was_sent_with_its_hash_is_found(
    gateway: Gateway, job: str, transport: str
) -> None:
    text = f"{JOB} # {new_document()}"
    hashed = by_hash(hash_of(text))
    assert gateway.ask("{ audienceModels { nodes { name } } }").data  # proves the caller
    for query in (text, ""):
        with subscribed(gateway.url, query, {"arn": job}, transport=transport, **hashed) as stream:
            assert stream.status() == "CREATE_PENDING"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_clients_that_send_the_text_next_get_json_also_in_place_of_a_stream(
    gateway: Gateway, transport: str
) -> None:
    """Urql would send it twice after an error in a stream."""
    for accept in (transport, f"{transport}, {GRAPHQL}"):
        with requested(gateway.url, "", headers={"Accept": accept}, **by_hash("00")) as response:
            assert response.status_code == 200
            assert json.loads(response.read()) == {"errors": [NOT_FOUND]}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_wrong_with_a_document_is_the_only_result_of_a_stream(
    gateway: Gateway, strict: Gateway, transport: str, method: str
) -> None:
    """An id that is unknown to a client without the text, a wrong hash, a refused document."""
    rejections: tuple[tuple[Gateway, str, dict[str, Any], str], ...] = (
        (gateway, "", {"documentId": "00"}, "PERSISTED_QUERY_NOT_FOUND"),
        (gateway, JOB, by_hash("00"), "BAD_USER_INPUT"),
        (gateway, JOB, {"documentId": "00"}, "BAD_USER_INPUT"),
        (strict, JOB, by_hash(hash_of(JOB)), "FORBIDDEN"),
    )
    for served, query, parameters, code in rejections:
        options = {"transport": transport, "method": method, **parameters}
        with subscribed(served.url, query, **options) as stream:
            result, end = stream.rest()

        assert isinstance(result, Result)
        assert [each["extensions"]["code"] for each in result.content["errors"]] == [code]
        assert end == Complete()


WRONG_HASHES = {
    "of another text": lambda text: hash_of(f"{text} "),
    "in upper case": lambda text: hash_of(text).upper(),
    "a part": lambda text: hash_of(text)[:-1],
    "empty": lambda _: "",
}
OTHERS_IDS = {
    "a hash in the manifest": lambda _: hash_of(LISTED),
    "an id in the manifest": lambda _: "md5-of-page",
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("served", "wrong"),
    [
        *(("gateway", each) for each in WRONG_HASHES.values()),
        *(("listing", each) for each in OTHERS_IDS.values()),
    ],
    ids=[*WRONG_HASHES, *OTHERS_IDS],
)
def test_a_wrong_hash_is_refused_and_stores_nothing(
    request: pytest.FixtureRequest, served: str, method: str, wrong: Any
) -> None:
    target: Gateway = request.getfixturevalue(served)
    text = new_document()
    before = send(target, by_hash(wrong(text))).content
    answer = send(target, {"query": text, **by_hash(wrong(text))}, method=method)

    assert (answer.status, answer.code) == (400, "BAD_USER_INPUT")
    assert "is not the hash of the query. Accepted: " in answer.errors[0]["message"]
    assert send(target, by_hash(wrong(text))).content == before
    assert send(target, by_hash(hash_of(text))).errors == [NOT_FOUND]


@pytest.mark.parametrize("wrong", WRONG_HASHES.values(), ids=WRONG_HASHES)
def test_beside_a_manifest_an_unknown_id_need_not_be_a_hash(listing: Gateway, wrong: Any) -> None:
    """It may be in the manifest of another replica. Nothing is stored under it."""
    text = new_document()
    answer = send(listing, {"query": text, **by_hash(wrong(text))})

    assert answer.data["audienceGenerationJobs"]["nodes"]
    assert send(listing, by_hash(wrong(text))).errors == [NOT_FOUND]


INVENTED = {
    "X-Aws-Access-Key-Id": "ASIAINVENTED00000000",
    "X-Aws-Secret-Access-Key": "invented",
    "X-Aws-Session-Token": "invented",
}


@pytest.mark.parametrize(
    ("text", "caller", "headers"),
    [
        ("{ __typename }", None, {}),
        ("{ audienceModels { nodes { name } } }", None, {}),
        ("{ audienceModels { nodes { name } } }", None, INVENTED),
        ("{", "ada", {}),
        ("{ nothing }", "ada", {}),
        (f"{{ {' '.join(f'a{each}: __typename' for each in range(99))} }}", "ada", {}),
        ("query($first: Int!) { audienceModels(first: $first) { nodes { name } } }", "ada", {}),
    ],
    ids=["anonymous", "unauthenticated", "invented", "no GraphQL", "invalid", "too large", "input"],
)
def test_only_valid_documents_of_proved_callers_are_remembered(
    gateway: Gateway, text: str, caller: str | None, headers: dict[str, str]
) -> None:
    text = f"{text} # {new_document()}"
    hashed = by_hash(hash_of(text))
    send(gateway, {"query": text, **hashed}, caller=caller, headers=headers)

    assert send(gateway, hashed).errors == [NOT_FOUND]


# The manifest


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("served", ["listing", "strict"])
@pytest.mark.parametrize(
    ("document_id", "text", "variables"),
    [
        (hash_of(LISTED), LISTED, {}),
        (f"sha256:{hash_of(LISTED)}", LISTED, {}),
        ("md5-of-page", PAGE, {"first": 3}),
    ],
)
def test_a_document_of_the_manifest_is_served(
    request: pytest.FixtureRequest,
    served: str,
    method: str,
    document_id: str,
    text: str,
    variables: dict[str, Any],
) -> None:
    """By either parameter, and in full, with the same cost."""
    target: Gateway = request.getfixturevalue(served)
    answers = [
        send(
            target,
            {**parameters, "variables": variables},
            method=method,
            headers={"X-Gateway-Cost": "1"},
        )
        for parameters in (
            {"documentId": document_id},
            by_hash(document_id),
            {"query": text},
            {"query": text, **by_hash(document_id)},
        )
    ]

    assert answers[0].data["audienceGenerationJobs"]["nodes"]
    assert answers[0].content["extensions"]["cost"]["estimate"] == {"pages": 1, "details": 0}
    assert [answer.data for answer in answers] == [answers[0].data] * 4
    assert {answer.content["extensions"]["cost"]["upstreamCalls"] for answer in answers} == {1}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_subscription_of_the_manifest_is_served(
    strict: Gateway, job: str, transport: str, method: str
) -> None:
    document_id = hash_of(LIVE)
    options: dict[str, Any] = {"transport": transport, "method": method, "documentId": document_id}
    with subscribed(strict.url, "", {"arn": job}, **options) as stream:
        assert stream.status() == "CREATE_PENDING"


def test_limits_on_variables_apply(strict: Gateway) -> None:
    answer = send(strict, {"documentId": "md5-of-page", "variables": {"first": 501}})
    unauthenticated = send(strict, {"documentId": hash_of(LISTED)}, caller=None)

    assert answer.errors[0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert (unauthenticated.status, unauthenticated.code) == (401, "UNAUTHENTICATED")
    assert strict.sandbox.calls == []


def test_a_page_of_another_site_can_name_no_document(listing: Gateway) -> None:
    parameters = {"documentId": hash_of(LISTED)}
    foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    answer = send(listing, parameters, method="GET", headers=foreign)

    assert (answer.status, answer.code) == (403, "FORBIDDEN")
    assert listing.sandbox.calls == []


# Only what is in the manifest


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("accept", [GRAPHQL, "application/json"])
@pytest.mark.parametrize(
    "text",
    [
        f"{LISTED} ",
        "{ __typename }",
        "{ __schema { queryType { name } } }",
        "{ _service { sdl } }",
        "{",
    ],
)
def test_any_other_document_is_refused_in_words(
    strict: Gateway, method: str, accept: str, text: str
) -> None:
    """Clients that fell back to it with its hash get the same, and it is not remembered."""
    for parameters in ({"query": text}, {"query": text, **by_hash(hash_of(text))}):
        answer = send(strict, parameters, method=method, headers={"Accept": accept})

        assert (answer.status, answer.code) == (403, "FORBIDDEN")
        assert "Accepted: those of the gateway's manifest" in answer.errors[0]["message"]
    assert send(strict, by_hash(hash_of(text))).errors == [NOT_FOUND]
    assert strict.sandbox.calls == []


SCHEMA_QUERIES = [
    "{ _service { sdl } }",
    "query Introspection { __schema { ...S } } fragment S on __Schema { queryType { name } }",
    '{ __typename __type(name: "Query") { name } }',
]


@pytest.mark.parametrize("text", SCHEMA_QUERIES)
def test_with_the_secret_a_router_reads_the_schema(strict: Gateway, text: str) -> None:
    assert send(strict, {"query": text}, caller=None, headers=SHOWN).data
    wrong = send(strict, {"query": text}, headers={"X-Router-Secret": f"{SECRET}!"})
    assert (wrong.status, wrong.code) == (403, "FORBIDDEN")


@pytest.mark.parametrize(
    "text",
    [
        new_document(),
        "{ _service { sdl } audienceGenerationJobs { nodes { name } } }",
        "{ _entities(representations: []) { __typename } }",
        "{ ...Q } fragment Q on Query { audienceGenerationJobs { nodes { name } } }",
        "{ ... { audienceGenerationJobs { nodes { name } } } }",
        "{ __schema: audienceGenerationJobs { nodes { name } } }",
        "subscription { audienceGenerationJobChanges { kind } }",
    ],
)
def test_with_the_secret_a_router_reads_nothing_else(strict: Gateway, text: str) -> None:
    answer = send(strict, {"query": text}, headers=SHOWN)

    assert (answer.status, answer.code) == (403, "FORBIDDEN")
    assert strict.sandbox.calls == []


def test_without_a_secret_nobody_reads_the_schema(sandbox: Sandbox, files: dict[str, Any]) -> None:
    """Without the setting every request counts as the router's elsewhere."""
    settings = {**files, "router_secret_file": None, "persisted_only": True}
    with gateway_over(sandbox, **settings) as gateway:
        for text in SCHEMA_QUERIES:
            assert send(gateway, {"query": text}, headers=SHOWN).status == 403


# Logs, metrics, kept answers


def test_each_result_is_counted(shared_sandbox: Sandbox, files: dict[str, Any]) -> None:
    """Those of kept answers too."""
    settings = {**files, "cache_seconds": 600}
    text, unlisted = new_document(), new_document()
    with gateway_over(shared_sandbox, **settings) as gateway:
        before = results(gateway.url)
        for parameters, times in (
            ({"documentId": hash_of(LISTED)}, 3),
            ({"query": LISTED}, 2),
            (by_hash(hash_of(text)), 1),
            ({"query": text, **by_hash(hash_of(text))}, 1),
            (by_hash(hash_of(text)), 2),
            ({"query": text, **by_hash(hash_of(LISTED))}, 1),
            ({"query": unlisted}, 2),
        ):
            for _ in range(times):
                send(gateway, parameters)
        after = results(gateway.url)

    assert {name: count - before.get(name, 0) for name, count in after.items()} == {
        "manifest": 5,
        "not_found": 1,
        "new": 1,
        "remembered": 2,
        "refused": 1,
        "unlisted": 2,
    }


@pytest.mark.parametrize("parameters", [("{ other }", None), ("{ other }", "00")])
def test_the_log_names_what_is_refused(parameters: tuple[str, str | None]) -> None:
    """As it does for each document: by its digest."""
    log = RequestLog()
    documents = PersistedDocuments(Manifest({"a": "{ listed }", "00": "{ listed }"}), only=True)
    with pytest.raises(HttpError):
        documents.find(Parameters(*parameters, None, {}), (), log)

    assert (log.persisted, log.document) == ("refused", hash_of("{ other }")[:16])


@given(document_id=st.text() | st.from_regex(r"[A-Za-z0-9._~:-]{1,140}", fullmatch=True))
def test_the_log_names_an_id_that_is_short_and_plain(document_id: str) -> None:
    log = RequestLog()
    log.set_document_id(document_id)
    is_plain = document_id.isascii() and not set(document_id) - set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~:-"
    )
    is_logged = is_plain and 1 <= len(document_id) <= 128

    assert log.document_id == (document_id if is_logged else None)


def test_the_manifest_is_required() -> None:
    with pytest.raises(ValueError, match="requires GATEWAY_PERSISTED_DOCUMENTS_FILE"):
        Settings(persisted_only=True)


def test_get_of_a_link(strict: Gateway) -> None:
    """The form of the draft, as a CDN would key it; yet nobody may store the response."""
    url = f"{strict.url}/graphql?documentId=sha256:{hash_of(LISTED)}"
    response = http("GET", url)

    assert response.status_code == 401
    assert response.headers["cache-control"] == "private, no-store"
