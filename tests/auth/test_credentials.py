"""Credentials and callers: secrets that are not shown, keys derived from all parts."""

import copy
import dataclasses
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable

import orjson
import pytest
import structlog
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gateway.auth.credentials import AwsCredentials, Caller, derive_key

KEY_ID = "ASIACANARYKEYID00000"
SECRET = "canary/secret+access/key"
TOKEN = "canary//session+token=="
ADA = Caller.from_keys(KEY_ID, SECRET, TOKEN)


def _traceback_with_locals(value: object) -> str:
    def fail(caller: object) -> None:  # noqa: ARG001 - the traceback shows it
        raise RuntimeError("no")

    try:
        fail(value)
    except RuntimeError as error:
        return "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )
    return ""


def _log_record(value: object) -> str:
    record = logging.LogRecord("x", logging.INFO, "x", 1, "%s %r", (value, value), None)
    return record.getMessage()


SHOWN: dict[str, Callable[[object], object]] = {
    "repr": repr,
    "str": str,
    "f-string": lambda value: f"{value} {value!r} {value!s} {value!a}",
    "format": "{0} {0!r}".format,
    "percent": lambda value: "%s %r" % (value, value),  # noqa: UP031 - as logging does
    "in a list": lambda value: str([value, {"caller": value}]),
    "pretty": pprint.pformat,
    "exception": lambda value: repr(ValueError("bad", value)),
    "traceback": _traceback_with_locals,
    "log record": _log_record,
    "structlog": lambda value: structlog.dev.ConsoleRenderer(colors=False)(
        None, "info", {"event": "x", "caller": value}
    ),
    "structlog json": lambda value: structlog.processors.JSONRenderer()(
        None, "info", {"event": "x", "caller": value}
    ),
    "orjson": lambda value: orjson.dumps({"caller": value}, default=str),
    "copy": lambda value: repr(copy.copy(value)),
    "deep copy": lambda value: repr(copy.deepcopy(value)),
}


@pytest.mark.parametrize("show", SHOWN.values(), ids=SHOWN)
@pytest.mark.parametrize("value", [ADA, ADA.credentials], ids=["caller", "credentials"])
def test_no_representation_shows_a_secret(value: object, show: Callable[[object], object]) -> None:
    shown = str(show(value))

    assert shown
    assert SECRET not in shown
    assert TOKEN not in shown
    assert KEY_ID not in shown
    assert ADA.fingerprint.hex() not in shown


def test_the_fields_of_a_caller_show_no_secret() -> None:
    shown = repr(dataclasses.asdict(ADA)) + str(dataclasses.astuple(ADA))

    assert "canary" not in shown.lower()


def test_the_json_of_a_caller_has_no_secret() -> None:
    """The standard library encodes any tuple as a list."""
    for value in (ADA.credentials, dataclasses.asdict(ADA), {"caller": ADA}):
        try:
            shown = json.dumps(value, default=str)
        except TypeError:
            continue
        assert "canary" not in shown.lower()


@pytest.mark.parametrize("value", [ADA, ADA.credentials], ids=["caller", "credentials"])
def test_no_pickle_has_a_secret(value: object) -> None:
    try:
        pickled = pickle.dumps(value)
    except TypeError:
        return
    assert SECRET.encode() not in pickled
    assert TOKEN.encode() not in pickled


def test_credentials_have_the_attributes_that_botocore_reads() -> None:
    assert ADA.credentials.access_key == KEY_ID
    assert ADA.credentials.secret_key == SECRET
    assert ADA.credentials.token == TOKEN
    assert Caller.from_keys(KEY_ID, SECRET, None).credentials.token is None


def test_a_caller_is_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ADA.credentials = AwsCredentials("a", "b", None)  # type: ignore[misc]  # which is the point
    with pytest.raises(AttributeError):
        ADA.credentials.secret_key = "b"


def test_equal_credentials_are_equal_callers() -> None:
    again = Caller.from_keys(KEY_ID, SECRET, TOKEN)

    assert again == ADA
    assert hash(again) == hash(ADA)
    assert again.fingerprint == ADA.fingerprint
    assert len(ADA.fingerprint) == 32


def test_derived_keys_never_change() -> None:
    """Other values would invalidate shared caches, and split replicas during an upgrade."""
    known = Caller.from_keys("A", "B", "C")
    assert known.fingerprint.hex() == (
        "6429107b5e91530938a46db80534654b2c7662070de30f32abab6429e1753d4c"
    )
    assert known.encryption_key.hex() == (
        "1d8de0b2cf4bad45127ebe30ec15c89599b9e3ce316d2f64951ffac856413b1a"
    )


texts = st.text(max_size=12) | st.sampled_from(
    ["", "-", "0:1:-", "1:0:", "a", "ab", "b", "é", "\0"]
)
tokens = st.none() | texts


@given(one=st.lists(tokens, max_size=4), other=st.lists(tokens, max_size=4))
@example(["ab", "c"], ["a", "bc"])
@example([None], ["-"])
@example([None], [""])
@example([], [None])
@example([], [""])
@example(["a", ""], ["a"])
@example(["a1:1:b"], ["a", "b"])
def test_the_parts_of_a_derived_key_are_delimited(
    one: list[str | None], other: list[str | None]
) -> None:
    """Concatenated parts that are equal give different keys."""
    assume(one != other)

    assert derive_key("secret", *one) != derive_key("secret", *other)


@given(one=texts, other=texts)
def test_a_derived_key_depends_on_the_secret(one: str, other: str) -> None:
    assume(one.rstrip("\0") != other.rstrip("\0"))  # a key's padding: HMAC's own, RFC 2104

    assert derive_key(one, "public") != derive_key(other, "public")


def test_fingerprint_and_encryption_key_differ() -> None:
    """The fingerprint is part of cache keys, which others may see."""
    assert ADA.fingerprint != ADA.encryption_key


def test_a_caller_from_a_token_does_not_depend_on_its_session() -> None:
    role = "arn:aws:iam::123456789012:role/reader"
    refreshed = [
        Caller.from_token(
            AwsCredentials(f"ASIA{n}", "s", "t"), "a.b.c", role, "r", 1.0, limit_key=b"subject"
        )
        for n in range(2)
    ]
    assert len({(caller.fingerprint, caller.encryption_key) for caller in refreshed}) == 1


@pytest.mark.parametrize(
    "other", [("a.b.d", "role", "r"), ("a.b.c", "other", "r"), ("a.b.c", "role", "s")]
)
def test_another_token_role_or_region_is_another_caller(other: tuple[str, str, str]) -> None:
    keys = AwsCredentials("ASIA", "s", "t")
    one = Caller.from_token(keys, "a.b.c", "role", "r", 1.0, limit_key=b"subject")
    another = Caller.from_token(keys, *other, 1.0, limit_key=b"subject")
    assert another.fingerprint != one.fingerprint
