"""Each fault has the effect of its description."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, RemoteDisconnected
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from gateway.sandbox import CALLERS
from gateway.sandbox.faults.registry import FAULTS
from tests.sandbox.clients import client, list_jobs
from tests.sandbox.identities import assume_role, exchange_error, id_token
from tests.sandbox.wire import (
    DISCOVERY,
    JOBS,
    JWKS,
    Reply,
    control,
    get,
    logged_calls,
    send,
    sign,
    switch_on,
)

EDITH = CALLERS["edith"]
ASSUME_ROLE = "AssumeRoleWithWebIdentity"
DOCUMENTS = {"GetOpenIdConfiguration": DISCOVERY, "GetJwks": JWKS}
OPERATIONS = ["ListAudienceGenerationJobs", *DOCUMENTS, ASSUME_ROLE]
CLOSED = (RemoteDisconnected, ConnectionResetError, ConnectionClosedError)


def prepare(url: str, operation: str) -> Callable[[], Any]:
    """Return a function that calls an operation of any of the services."""
    if operation == ASSUME_ROLE:
        token = id_token(url)
        return lambda: assume_role(url, token)["Credentials"]
    if operation in DOCUMENTS:
        return lambda: send(url, DOCUMENTS[operation]).body
    return lambda: get(url, JOBS).body


def jobs_of(reply: Reply) -> list[Any]:
    rows: list[Any] = reply.json()["audienceGenerationJobs"]
    return rows


@pytest.mark.parametrize(
    ("fault", "status", "code", "sts_status", "sts_code"),
    [
        ("throttle", 429, "ThrottlingException", 400, "Throttling"),
        ("internal-error", 500, "InternalServerException", 500, "InternalFailure"),
        ("unavailable", 503, "ServiceUnavailableException", 503, "ServiceUnavailable"),
        ("denied", 403, "AccessDeniedException", 403, "AccessDenied"),
    ],
)
def test_errors(
    url: str, fault: str, status: int, code: str, sts_status: int, sts_code: str
) -> None:
    """boto3 raises the code and status of each service."""
    switch_on(url, fault)
    with pytest.raises(ClientError) as caught:
        client(url).list_audience_generation_jobs()

    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert exchange_error(url, id_token(url))[:2] == (sts_code, sts_status)
    assert [send(url, path).status for path in DOCUMENTS.values()] == [status, status]


def test_expired_credentials(url: str) -> None:
    switch_on(url, "expired-token-credentials")

    assert get(url, JOBS).error == (403, "ExpiredTokenException")


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({}, ("IDPCommunicationError", 400)),
        ({"code": "IDPRejectedClaim"}, ("IDPRejectedClaim", 403)),
        ({"code": "PackedPolicyTooLarge"}, ("PackedPolicyTooLarge", 400)),
    ],
)
def test_sts_error(url: str, parameters: dict[str, str], error: tuple[str, int]) -> None:
    switch_on(url, "sts-error", **parameters)

    assert exchange_error(url, id_token(url))[:2] == error
    assert get(url, JOBS).status == 200


def test_throttle_with_a_retry_hint(url: str) -> None:
    """The hint is in seconds for HTTP, and in milliseconds for the SDKs."""
    switch_on(url, "throttle", retry_after=1.5)
    headers = get(url, JOBS).headers
    with pytest.raises(ClientError) as caught:
        assume_role(url, id_token(url))

    assert (headers["retry-after"], headers["x-amz-retry-after"]) == ("1.5", "1500")
    assert caught.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1.5"


def test_expired_next_token(url: str) -> None:
    token = get(url, JOBS).json()["nextToken"]
    switch_on(url, "expired-next-token")

    assert get(url, JOBS).status == 200
    assert get(url, JOBS, nextToken=token).error == (400, "ValidationException")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_slow(url: str, operation: str) -> None:
    call = prepare(url, operation)
    switch_on(url, "slow", operation=operation, seconds=0.2)
    started = time.monotonic()

    assert call()
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize("operation", OPERATIONS)
def test_hang_until_healed(url: str, operation: str) -> None:
    """The call is in the log without a status, and others are not affected."""
    call = prepare(url, operation)
    switch_on(url, "hang", operation=operation, times=1)
    responses: list[Any] = []
    thread = threading.Thread(target=lambda: responses.append(call()))
    thread.start()
    while not logged_calls(url):
        time.sleep(0.01)
    (waiting,) = logged_calls(url)
    assert get(url, JOBS, EDITH).status == 200
    assert responses == []
    control(url, "DELETE", "/faults")
    thread.join(10)

    assert (waiting["operation"], waiting["status"]) == (operation, None)
    assert len(responses) == 1


@pytest.mark.parametrize("operation", OPERATIONS)
def test_reset(url: str, operation: str) -> None:
    call = prepare(url, operation)
    switch_on(url, "reset", operation=operation)

    with pytest.raises(CLOSED):
        call()
    assert {(each["operation"], each["status"]) for each in logged_calls(url)} == {
        (operation, None)
    }


def outcome(url: str) -> int | None:
    """Return the status of a response, or None if there is none."""
    try:
        return get(url, JOBS).status
    except CLOSED:
        return None


def test_flaky_fails_in_each_way_in_turn(url: str) -> None:
    switch_on(url, "flaky", rate=1, seconds=0)

    assert [outcome(url) for _ in range(8)] == [500, 503, None, 200] * 2


def test_flaky_fails_for_the_same_calls_in_each_run(url: str) -> None:
    runs = []
    for _ in range(2):
        switch_on(url, "flaky", rate=0.5, seconds=0)
        runs.append([outcome(url) for _ in range(20)])

    assert runs[0] == runs[1]
    assert 5 <= runs[0].count(200) <= 17
    assert {500, 503, None} <= set(runs[0])


@contextmanager
def open_response(url: str) -> Iterator[HTTPResponse]:
    """Send a request, and read the head of the response."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        connection.request("GET", JOBS, headers=sign(url, JOBS))
        yield connection.getresponse()
    finally:
        connection.close()


def test_drip(url: str) -> None:
    expected = get(url, JOBS).body
    switch_on(url, "drip", bytes=900, seconds=0, times=1)
    with open_response(url) as response:
        pieces = list(iter(response.read1, b""))
    switch_on(url, "drip", seconds=3600, times=1)
    with open_response(url) as response:
        first = response.read1()
        assert get(url, JOBS).body == expected

    assert b"".join(pieces) == expected
    assert max(map(len, pieces)) <= 900
    assert first == expected[:1]


def test_half_until_healed(url: str) -> None:
    expected = get(url, JOBS).body
    middle = len(expected) // 2
    switch_on(url, "half")
    with open_response(url) as response:
        assert response.read(middle) == expected[:middle]
        control(url, "DELETE", "/faults")
        assert response.read() == expected[middle:]


def test_huge(url: str) -> None:
    expected = get(url, JOBS).body
    switch_on(url, "huge", megabytes=3)
    reply = get(url, JOBS)

    assert reply.body == expected + b" " * 3 * 2**20
    assert "content-length" not in reply.headers


def test_gzip(url: str) -> None:
    expected = get(url, JOBS).body
    switch_on(url, "gzip", megabytes=3)
    reply = get(url, JOBS)

    assert reply.headers["content-encoding"] == "gzip"
    assert len(reply.body) < len(expected)
    assert gzip.decompress(reply.body) == expected + b" " * 3 * 2**20


def test_short_pages(url: str) -> None:
    expected = list_jobs(client(url, "edith"))
    switch_on(url, "short-pages", size=2)

    assert len(jobs_of(get(url, JOBS, EDITH))) == 2
    assert list_jobs(client(url, "edith")) == expected


def test_empty_pages(url: str) -> None:
    expected = list_jobs(client(url, "edith"))
    switch_on(url, "empty-pages", count=2)
    pages = list(
        client(url, "edith")
        .get_paginator("list_audience_generation_jobs")
        .paginate(PaginationConfig={"PageSize": 4})
    )

    assert [len(page["audienceGenerationJobs"]) for page in pages] == [0, 0, 4, 0, 0, 3]
    assert [job for page in pages for job in page["audienceGenerationJobs"]] == expected


def test_long_tokens(url: str) -> None:
    """They are valid when the fault is healed, too."""
    expected = list_jobs(client(url))
    switch_on(url, "long-tokens")
    token = get(url, JOBS).json()["nextToken"]

    assert len(token) == 10_240
    assert set("+/=%") <= set(token)
    assert list_jobs(client(url)) == expected
    control(url, "DELETE", "/faults")
    assert get(url, JOBS, nextToken=token).status == 200
    assert get(url, JOBS, nextToken=token[:-1]).status == 400


def test_repeat_token(url: str) -> None:
    switch_on(url, "repeat-token")
    token = get(url, JOBS).json()["nextToken"]

    assert get(url, JOBS, nextToken=token).json()["nextToken"] == token


def test_empty_token(url: str) -> None:
    switch_on(url, "empty-token")
    first = get(url, JOBS, CALLERS["edith"]).json()

    assert first["nextToken"] == ""
    assert get(url, JOBS).json()["nextToken"] != ""


def test_keys_query(url: str) -> None:
    """The keys are served there all the same."""
    switch_on(url, "keys-query")
    address = send(url, DISCOVERY).json()["jwks_uri"]

    assert address == f"{url}{JWKS}?appid=sandbox"
    assert send(url, address.removeprefix(url)).json()["keys"]


def test_unknown_status(url: str) -> None:
    switch_on(url, "unknown-status", rows=3)
    statuses = [job["status"] for job in jobs_of(get(url, JOBS))]

    assert statuses[:3] == ["CREATE_PAUSED"] * 3
    assert "CREATE_PAUSED" not in statuses[3:]


def test_missing_field(url: str) -> None:
    switch_on(url, "missing-field", field="status")
    first, second, *_ = jobs_of(get(url, JOBS))

    assert "status" not in first
    assert "status" in second


@pytest.mark.parametrize("value", ["yesterday", 1767322800.5, None])
def test_unusual_timestamp(url: str, value: object) -> None:
    switch_on(url, "odd-timestamp", value=value)

    assert jobs_of(get(url, JOBS))[0]["createTime"] == value


@pytest.mark.parametrize(
    ("member", "value"), [("rows", {}), ("nextToken", 5), ("status", None), ("status", [[]])]
)
def test_wrong_type(url: str, member: str, value: object) -> None:
    switch_on(url, "wrong-type", member=member, value=value)
    page = get(url, JOBS).json()
    holder = page if member != "status" else page["audienceGenerationJobs"][0]

    assert holder["audienceGenerationJobs" if member == "rows" else member] == value


def test_wrong_type_in_details(url: str) -> None:
    arn = get(url, "/audience-model").json()["audienceModels"][0]["audienceModelArn"]
    switch_on(url, "wrong-type")

    assert get(url, f"/audience-model/{quote(arn, safe='')}").json()["name"] == {}


def test_null_row(url: str) -> None:
    switch_on(url, "null-row")
    first, *others = jobs_of(get(url, JOBS))

    assert first is None
    assert len(others) == 99


def test_html(url: str) -> None:
    switch_on(url, "html")
    for reply in (get(url, JOBS), send(url, JWKS)):
        assert (reply.status, reply.body[:15]) == (200, b"<!doctype html>")
        assert reply.headers["content-type"].startswith("text/html")


def test_truncated(url: str) -> None:
    expected = get(url, JOBS).body
    keys = send(url, JWKS).body
    switch_on(url, "truncated")

    assert get(url, JOBS).body == expected[: len(expected) // 2]
    assert send(url, JWKS).body == keys[: len(keys) // 2]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect(url: str, status: int) -> None:
    switch_on(url, "redirect", location="http://127.0.0.1:9/trap", status=status)
    for reply in (get(url, JOBS), send(url, JWKS)):
        assert (reply.status, reply.headers["location"]) == (status, "http://127.0.0.1:9/trap")


def test_headers(url: str) -> None:
    """By default there are more than clients read."""
    expected = get(url, JOBS).body
    switch_on(url, "headers", count=50, size=10)
    reply = get(url, JOBS)
    switch_on(url, "headers")

    assert [reply.headers[f"x-filler-{number}"] for number in range(50)] == ["x" * 10] * 50
    assert reply.body == expected
    with pytest.raises(HTTPException, match="more than 100 headers"):
        get(url, JOBS)


def test_not_utf8(url: str) -> None:
    expected = get(url, JOBS).body
    switch_on(url, "not-utf8")
    body = get(url, JOBS).body

    assert body.replace(b"\xff", b"") == expected
    with pytest.raises(UnicodeDecodeError):
        body.decode()


def test_deep(url: str) -> None:
    expected = get(url, JOBS).json()
    switch_on(url, "deep", depth=3)
    reply = get(url, JOBS)
    switch_on(url, "deep")

    assert reply.json() == {"deep": [[[]]], **expected}
    assert b"[" * 100_000 + b"]" * 100_000 in get(url, JOBS).body


def test_cookie(url: str) -> None:
    switch_on(url, "cookie")
    reply = get(url, JOBS)

    assert reply.headers["set-cookie"].startswith("sandbox=")
    assert len(jobs_of(reply)) == 100


def test_each_fault_has_a_test() -> None:
    source = Path(__file__).read_text(encoding="utf-8")

    assert [name for name in FAULTS if f'"{name}"' not in source] == []
