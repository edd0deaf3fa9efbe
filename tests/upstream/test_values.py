"""What is derived from the rows of a page is kept with it, within bounds, and weighed."""

import tracemalloc
from collections.abc import Callable, Hashable
from functools import partial
from sys import getsizeof

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.values import DERIVED_OVERHEAD, MAX_DERIVED, Page, kept_json, sizes

ROWS = 3


class Growing:
    """A page in a cache that counts its bytes."""

    def __init__(self) -> None:
        self.page = Page([{"name": str(row)} for row in range(ROWS)], None)
        self.page.on_growth = self._grow
        self.bytes = 0
        self.computed: list[object] = []

    def _grow(self, change: int) -> None:
        self.bytes += change

    def derive(self, key: str) -> str:
        return self.page.derive(key, self._compute(key), len)

    def derive_if_reread(self, key: str) -> str | None:
        return self.page.derive_if_reread(key, self._compute(key), len)

    def _compute(self, key: str) -> Callable[[], str]:
        def compute() -> str:
            self.computed.append(key)
            return key * ROWS

        return compute


def overhead(key: Hashable) -> int:
    return getsizeof(key) + DERIVED_OVERHEAD


def test_a_value_is_computed_once_for_each_key() -> None:
    growing = Growing()
    values = [growing.derive(key) for key in ("a", "b", "a", "b")]
    assert values == ["aaa", "bbb", "aaa", "bbb"]
    assert growing.computed == ["a", "b"]
    assert growing.bytes == 2 * (ROWS + overhead("a"))


def test_the_least_recently_used_value_is_dropped() -> None:
    growing = Growing()
    keys = [chr(ord("a") + number) for number in range(MAX_DERIVED)]
    for key in [*keys, "a", "z", "a", "b"]:
        growing.derive(key)
    assert growing.computed == [*keys, "z", "b"]


def test_a_page_that_is_read_once_keeps_nothing() -> None:
    """Only a marker, however long the key is."""
    growing = Growing()
    key = "k" * 100_000
    assert growing.derive_if_reread(key) is None
    assert growing.bytes == overhead(hash(key))
    assert growing.derive_if_reread(key) == key * ROWS
    assert growing.derive_if_reread(key) == key * ROWS
    assert growing.computed == [key]
    assert growing.bytes == ROWS * len(key) + overhead(key)


@given(st.lists(st.tuples(st.booleans(), st.text(max_size=2))))
def test_the_reported_growth_is_what_is_kept(uses: list[tuple[bool, str]]) -> None:
    growing = Growing()
    for always, key in uses:
        if always:
            growing.derive(key)
        else:
            growing.derive_if_reread(key)
    kept = growing.page._derived._kept
    assert growing.bytes == sum(weight for _, weight in kept.values())
    assert len(kept) <= MAX_DERIVED
    for known, (value, weight) in kept.items():
        assert weight == (len(value) if value is not None else 0) + overhead(known)


@pytest.mark.parametrize("rows", [1, 100])
@pytest.mark.parametrize("length", [1, 10_000])
def test_what_is_kept_takes_no_more_than_what_it_weighs(rows: int, length: int) -> None:
    """With the names of fields and the token in its key, which no request may hold anymore."""
    growing = Growing()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(MAX_DERIVED):
            names = tuple((f"{number}.{field}" + "x" * length, "name") for field in range(30))
            texts = [b"%d" % row for row in range(rows)]
            growing.page.derive((names, "token" * length), partial(list, texts), sizes)
        del names, texts
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert taken <= growing.bytes


def test_a_page_in_no_cache_reports_nothing() -> None:
    page = Page([{"name": "a"}], None)
    assert page.derive("key", lambda: ["a"], sizes) == ["a"]


def test_a_failure_is_not_kept() -> None:
    growing = Growing()
    with pytest.raises(ZeroDivisionError):
        growing.page.derive("key", lambda: str(1 // 0), len)
    assert growing.derive("key") == "keykeykey"


def test_of_rows_with_one_key_the_first_is_found() -> None:
    page = Page([{"name": "a"}, {"name": "b"}, {"name": "a"}], None)
    assert [page.row_of(name, lambda row: row["name"]) for name in ("a", "b", "c")] == [0, 1, None]


def test_what_is_derived_is_no_part_of_the_page() -> None:
    """Neither of its JSON, in a shared cache, nor of its value."""
    page, other = Growing().page, Growing().page
    page.derive("key", lambda: "value", len)
    assert page == other
    assert orjson.dumps(page) == orjson.dumps({"items": page.items, "next_token": None})


@given(st.lists(st.text() | st.binary()))
def test_sizes_are_at_least_the_contents(values: list[str | bytes]) -> None:
    assert sizes(values) >= sum(map(len, values))


def test_json_that_is_kept_takes_no_more_than_its_bytes() -> None:
    values = [{"name": "x" * length} for length in range(1, 1000, 10)]
    tracemalloc.start()
    try:
        kept = [kept_json(value) for value in values]
        traced, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert traced < 1.1 * sizes(kept)
    assert [orjson.loads(each) for each in kept] == values
