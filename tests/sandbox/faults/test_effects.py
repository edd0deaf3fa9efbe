"""Every fault does what its description says, to whom it is meant for, until it is healed."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, RemoteDisconnected
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore.exceptions import ClientError

from gateway.sandbox import CALLERS
from gateway.sandbox.faults.registry import FAULTS
from tests.sandbox.clients import client, list_jobs
from tests.sandbox.wire import JOBS, Reply, ask, control, send, sign

ADA, GRACE, EDITH = CALLERS["ada"], CALLERS["grace"], CALLERS["edith"]


def switch_on(url: str, fault: str, **order: object) -> None:
    """Switch a fault on."""
    reply = control(url, "POST", "/faults", {"fault": fault, **order})
    assert reply.status == 200, reply.body


def jobs_of(reply: Reply) -> list[Any]:
    """Give the rows of a page."""
    rows: list[Any] = reply.json()["audienceGenerationJobs"]
    return rows


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("throttle", 429, "ThrottlingException"),
        ("internal-error", 500, "InternalServerException"),
        ("unavailable", 503, "ServiceUnavailableException"),
        ("denied", 403, "AccessDeniedException"),
        ("expired-token-credentials", 403, "ExpiredTokenException"),
    ],
)
def test_refusals(url: str, fault: str, status: int, code: str) -> None:
    """boto3 sees AWS's own error code and status."""
    switch_on(url, fault)
    with pytest.raises(ClientError) as caught:
        client(url).list_audience_generation_jobs()

    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_throttle_can_say_when_to_come_back(url: str) -> None:
    """The hint is in seconds for HTTP and in milliseconds for the SDKs."""
    switch_on(url, "throttle", retry_after=1.5)
    headers = ask(url, JOBS).headers

    assert (headers["retry-after"], headers["x-amz-retry-after"]) == ("1.5", "1500")


def test_expired_next_token(url: str) -> None:
    """A first page is served; any token is refused."""
    token = ask(url, JOBS).json()["nextToken"]
    switch_on(url, "expired-next-token")

    assert ask(url, JOBS).status == 200
    assert ask(url, JOBS, nextToken=token).error == (400, "ValidationException")


def test_slow(url: str) -> None:
    """The right answer comes, after a while."""
    expected = ask(url, JOBS).body
    switch_on(url, "slow", seconds=0.3)
    answered = threading.Event()
    replies: list[Reply] = []

    def wait() -> None:
        replies.append(ask(url, JOBS))
        answered.set()

    thread = threading.Thread(target=wait)
    thread.start()
    early = answered.wait(0.1)
    thread.join(10)

    assert not early
    assert replies[0].body == expected


def test_hang_until_healed(url: str) -> None:
    """A call that hangs is in the log without a status, and is answered once healed."""
    switch_on(url, "hang", times=1)
    replies: list[Reply] = []
    thread = threading.Thread(target=lambda: replies.append(ask(url, JOBS)))
    thread.start()
    thread.join(0.3)
    (waiting,) = control(url, "GET", "/calls").json()["calls"]
    others = ask(url, JOBS, EDITH).status
    control(url, "DELETE", "/faults")
    thread.join(10)

    assert waiting["status"] is None
    assert others == 200
    assert [reply.status for reply in replies] == [200]


def test_reset(url: str) -> None:
    """The connection closes without a byte."""
    switch_on(url, "reset")

    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        ask(url, JOBS)


def outcome(url: str) -> int | None:
    """Give the status of an answer, or None if there is none."""
    try:
        return ask(url, JOBS).status
    except (RemoteDisconnected, ConnectionResetError):
        return None


def test_flaky_fails_in_each_way_in_turn(url: str) -> None:
    """500, 503, a closed connection, and the right answer late; then from the beginning."""
    switch_on(url, "flaky", rate=1, seconds=0)

    assert [outcome(url) for _ in range(8)] == [500, 503, None, 200] * 2


def test_flaky_fails_by_a_chance_that_is_always_the_same(url: str) -> None:
    """Some calls fail and some do not, and the same ones again when it is switched on anew."""
    runs = []
    for _ in range(2):
        switch_on(url, "flaky", rate=0.5, seconds=0)
        runs.append([outcome(url) for _ in range(20)])

    assert runs[0] == runs[1]
    assert 5 <= runs[0].count(200) <= 17
    assert {500, 503, None} <= set(runs[0])


@contextmanager
def opened(url: str) -> Iterator[HTTPResponse]:
    """Give an answer of which the head has been read."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("GET", JOBS, headers=sign(url, JOBS))
        yield connection.getresponse()
    finally:
        connection.close()


def test_drip(url: str) -> None:
    """The right answer comes a few bytes at a time, and others need not wait for it."""
    expected = ask(url, JOBS).body
    switch_on(url, "drip", bytes=900, seconds=0, times=1)
    with opened(url) as response:
        pieces = list(iter(response.read1, b""))
    switch_on(url, "drip", seconds=3600, times=1)
    with opened(url) as response:
        first = response.read1()
        assert ask(url, JOBS).body == expected

    assert b"".join(pieces) == expected
    assert max(map(len, pieces)) <= 900
    assert first == expected[:1]


def test_half(url: str) -> None:
    """Half of the body comes, and the other half once it is healed."""
    expected = ask(url, JOBS).body
    middle = len(expected) // 2
    switch_on(url, "half")
    with opened(url) as response:
        assert response.read(middle) == expected[:middle]
        control(url, "DELETE", "/faults")
        assert response.read() == expected[middle:]


def test_huge(url: str) -> None:
    """The answer is right, of the size that was ordered, and does not say it beforehand."""
    expected = ask(url, JOBS).body
    switch_on(url, "huge", megabytes=3)
    reply = ask(url, JOBS)

    assert reply.body == expected + b" " * 3 * 2**20
    assert "content-length" not in reply.headers


def test_gzip(url: str) -> None:
    """The answer is small, and right and huge once it is unpacked."""
    expected = ask(url, JOBS).body
    switch_on(url, "gzip", megabytes=3)
    reply = ask(url, JOBS)

    assert reply.headers["content-encoding"] == "gzip"
    assert len(reply.body) < len(expected)
    assert gzip.decompress(reply.body) == expected + b" " * 3 * 2**20


def test_short_pages(url: str) -> None:
    """Pages are shorter than asked for, and the list is whole all the same."""
    expected = list_jobs(client(url, "edith"))
    switch_on(url, "short-pages", size=2)

    assert len(jobs_of(ask(url, JOBS, EDITH))) == 2
    assert list_jobs(client(url, "edith")) == expected


def test_empty_pages(url: str) -> None:
    """Two empty pages with tokens come before each real one, and the list is whole."""
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
    """Tokens have 10,240 characters, odd ones among them, and are good during and after."""
    expected = list_jobs(client(url))
    switch_on(url, "long-tokens")
    token = ask(url, JOBS).json()["nextToken"]

    assert len(token) == 10_240
    assert set("+/=%") <= set(token)
    assert list_jobs(client(url)) == expected
    control(url, "DELETE", "/faults")
    assert ask(url, JOBS, nextToken=token).status == 200
    assert ask(url, JOBS, nextToken=token[:-1]).status == 400


def test_repeat_token(url: str) -> None:
    """The second page's token is the one it was asked for with."""
    switch_on(url, "repeat-token")
    token = ask(url, JOBS).json()["nextToken"]

    assert ask(url, JOBS, nextToken=token).json()["nextToken"] == token


def test_unknown_status(url: str) -> None:
    """So many rows have a status the model does not know."""
    switch_on(url, "unknown-status", rows=3)
    statuses = [job["status"] for job in jobs_of(ask(url, JOBS))]

    assert statuses[:3] == ["CREATE_PAUSED"] * 3
    assert "CREATE_PAUSED" not in statuses[3:]


def test_missing_field(url: str) -> None:
    """The first row lacks the field, the second has it."""
    switch_on(url, "missing-field", field="status")
    first, second, *_ = jobs_of(ask(url, JOBS))

    assert "status" not in first
    assert "status" in second


@pytest.mark.parametrize("value", ["yesterday", 1767322800.5, None, "2026-01-02T03:04:05+05:30"])
def test_odd_timestamp(url: str, value: object) -> None:
    """The first row's createTime is whatever one wants it to be."""
    switch_on(url, "odd-timestamp", value=value)

    assert jobs_of(ask(url, JOBS))[0]["createTime"] == value


@pytest.mark.parametrize("value", [{}, 5, "text", None, [[]]])
@pytest.mark.parametrize("member", ["rows", "nextToken", "status"])
def test_wrong_type(url: str, member: str, value: object) -> None:
    """The list, its token, or a member of the first row is whatever one wants it to be."""
    switch_on(url, "wrong-type", member=member, value=value)
    page = ask(url, JOBS).json()
    holder = page if member != "status" else page["audienceGenerationJobs"][0]

    assert holder["audienceGenerationJobs" if member == "rows" else member] == value


def test_wrong_type_of_an_object(url: str) -> None:
    """An object has such a member itself."""
    arn = ask(url, "/audience-model").json()["audienceModels"][0]["audienceModelArn"]
    switch_on(url, "wrong-type")

    assert ask(url, f"/audience-model/{quote(arn, safe='')}").json()["name"] == {}


def test_null_row(url: str) -> None:
    """The first row is null, and the others are there."""
    switch_on(url, "null-row")
    first, *others = jobs_of(ask(url, JOBS))

    assert first is None
    assert len(others) == 99


def test_html(url: str) -> None:
    """A web page comes with status 200."""
    switch_on(url, "html")
    reply = ask(url, JOBS)

    assert (reply.status, reply.body[:15]) == (200, b"<!doctype html>")
    assert reply.headers["content-type"].startswith("text/html")


def test_truncated(url: str) -> None:
    """The body is half of the JSON, with a length that fits it."""
    expected = ask(url, JOBS).body
    switch_on(url, "truncated")

    assert ask(url, JOBS).body == expected[: len(expected) // 2]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect(url: str, status: int) -> None:
    """The answer points elsewhere."""
    switch_on(url, "redirect", location="http://127.0.0.1:9/trap", status=status)
    reply = ask(url, JOBS)

    assert (reply.status, reply.headers["location"]) == (status, "http://127.0.0.1:9/trap")


def test_redirect_by_a_status_that_is_none(url: str) -> None:
    """It is refused, and what is accepted is listed."""
    reply = control(url, "POST", "/faults", {"fault": "redirect", "status": 200})

    assert reply.status == 400
    assert reply.json()["message"] == "status is 200. Accepted: 301, 302, 303, 307, 308."


def test_headers(url: str) -> None:
    """The right answer comes below so many headers, by default more than clients will read."""
    expected = ask(url, JOBS).body
    switch_on(url, "headers", count=50, size=10)
    reply = ask(url, JOBS)
    switch_on(url, "headers")

    assert [reply.headers[f"x-filler-{number}"] for number in range(50)] == ["x" * 10] * 50
    assert reply.body == expected
    with pytest.raises(HTTPException, match="more than 100 headers"):
        ask(url, JOBS)


def test_not_utf8(url: str) -> None:
    """One byte of the body is none that UTF-8 has; without it the answer is right."""
    expected = ask(url, JOBS).body
    switch_on(url, "not-utf8")
    body = ask(url, JOBS).body

    assert body.replace(b"\xff", b"") == expected
    with pytest.raises(UnicodeDecodeError):
        body.decode()


def test_deep(url: str) -> None:
    """The right answer has one member more, nested as deep as was ordered."""
    expected = ask(url, JOBS).json()
    switch_on(url, "deep", depth=3)
    reply = ask(url, JOBS)
    switch_on(url, "deep")

    assert reply.json() == {"deep": [[[]]], **expected}
    assert b"[" * 100_000 + b"]" * 100_000 in ask(url, JOBS).body


def test_cookie(url: str) -> None:
    """The right answer comes with a cookie."""
    switch_on(url, "cookie")
    reply = ask(url, JOBS)

    assert reply.headers["set-cookie"].startswith("sandbox=")
    assert len(jobs_of(reply)) == 100


def test_faults_strike_whom_they_are_meant_for(url: str) -> None:
    """A fault can be for one caller, one operation and so many calls."""
    switch_on(
        url,
        "unavailable",
        access_key_id=ADA.access_key_id,
        operation="ListAudienceGenerationJobs",
        times=2,
    )

    assert ask(url, JOBS, GRACE).status == 200
    assert ask(url, "/audience-model").status == 200
    assert [ask(url, JOBS).status for _ in range(3)] == [503, 503, 200]
    assert control(url, "GET", "/faults").json()["active"] == []


def test_faults_add_up(url: str) -> None:
    """Several faults strike together; the same one twice for the same calls is one."""
    switch_on(url, "short-pages", size=5)
    switch_on(url, "short-pages", size=3)
    switch_on(url, "cookie")
    reply = ask(url, JOBS)

    assert len(jobs_of(reply)) == 3
    assert "set-cookie" in reply.headers


def test_heal(url: str) -> None:
    """One fault can be healed by name, and all at once."""
    for fault in ("throttle", "cookie", "slow"):
        switch_on(url, fault, seconds=0.01) if fault == "slow" else switch_on(url, fault)

    assert control(url, "DELETE", "/faults?fault=throttle").json() == {"healed": 1}
    assert "set-cookie" in ask(url, JOBS).headers
    assert control(url, "DELETE", "/faults").json() == {"healed": 2}
    assert "set-cookie" not in ask(url, JOBS).headers


def test_faults_are_no_way_around_the_signature(url: str) -> None:
    """Whoever may not ask is refused as ever, fault or no fault."""
    switch_on(url, "html")

    assert send(url, JOBS).status == 403
    assert send(url, "/audience-model", headers=sign(url, JOBS)).status == 403


def test_every_fault_is_tested_here() -> None:
    """The table holds no fault that the tests above, or those of identities, do not name."""
    files = (Path(__file__), Path(__file__).with_name("test_identity_faults.py"))
    source = "".join(file.read_text(encoding="utf-8") for file in files)

    assert [name for name in FAULTS if f'"{name}"' not in source] == []
