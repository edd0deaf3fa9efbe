"""The changes between two states of a list: what a subscriber needs to follow it, and no more."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.values import Item
from gateway.watch.changes import ROWS_PER_STEP, Change, changes_between

Rows = Mapping[str, bytes]

STATUSES = ["CREATE_PENDING", "CREATE_IN_PROGRESS", "ACTIVE"]

VALUES = st.fixed_dictionaries({"status": st.sampled_from(STATUSES), "name": st.sampled_from("xy")})
ROWS = st.dictionaries(st.sampled_from("abcdefgh"), VALUES).flatmap(
    lambda rows: st.permutations(list(rows.items()))
)
STATES = ROWS.map(
    lambda rows: {key: orjson.dumps(row, option=orjson.OPT_SORT_KEYS) for key, row in rows}
)
"""States of a list, in any order."""

ACCEPTED = st.none() | st.sets(st.sampled_from(STATUSES))
"""The statuses that a filter accepts; without a filter None."""


def filter_of(accepted: set[str] | None) -> Callable[[Item], bool] | None:
    return None if accepted is None else lambda item: item["status"] in accepted


def changes_of(
    before: Rows, after: Rows, matches: Callable[[Item], bool] | None = None
) -> list[Change]:
    return [change for change in changes_between(before, after, matches) if change is not None]


def listed(rows: Rows, accepted: set[str] | None) -> dict[str, Any]:
    """Return the rows that pass the filter, by key."""
    items = {key: orjson.loads(row) for key, row in rows.items()}
    matches = filter_of(accepted) or (lambda _: True)
    return {key: item for key, item in items.items() if matches(item)}


@given(st.lists(STATES, min_size=1, max_size=8), ACCEPTED)
def test_replayed_changes_give_the_filtered_list(
    states: list[Rows], accepted: set[str] | None
) -> None:
    """Of any states, however far apart: a slow subscriber has skipped those between."""
    view = listed(states[0], accepted)
    for before, after in pairwise(states):
        changes = changes_of(before, after, filter_of(accepted))
        assert len({change.key for change in changes}) == len(changes)
        for change in changes:
            assert (change.key in view) == (change.kind != "CREATED")
            assert (change.item is None) == (change.kind == "DELETED")
            assert view.get(change.key) != change.item
            if change.item is None:
                del view[change.key]
            else:
                view[change.key] = change.item
        assert view == listed(after, accepted)


@given(STATES, ACCEPTED, st.randoms(use_true_random=False))
def test_a_reordered_list_has_not_changed(
    state: Rows, accepted: set[str] | None, random: Any
) -> None:
    rows = list(state.items())
    random.shuffle(rows)

    assert changes_of(state, dict(rows), filter_of(accepted)) == []


@given(STATES, STATES, ACCEPTED)
def test_changes_are_in_the_order_of_the_list_and_deletions_last(
    before: Rows, after: Rows, accepted: set[str] | None
) -> None:
    changes = changes_of(before, after, filter_of(accepted))
    present = [change.key for change in changes if change.key in after]
    gone = [change.key for change in changes if change.key not in after]

    assert [change.key for change in changes] == present + gone
    assert present == [key for key in after if key in present]
    assert gone == [key for key in before if key in gone]


@given(st.integers(0, 5 * ROWS_PER_STEP), st.integers(0, 5 * ROWS_PER_STEP), st.booleans())
def test_other_work_continues_while_no_row_passes_the_filter(
    rows_before: int,
    rows_after: int,
    same_keys: bool,  # noqa: FBT001  generated
) -> None:
    compared = 0

    def matches(_: Item) -> bool:
        nonlocal compared
        compared += 1
        return False

    before = {f"{number}": b'"before"' for number in range(rows_before)}
    prefix = "" if same_keys else "new-"
    after = {f"{prefix}{number}": b'"after"' for number in range(rows_after)}
    for step in changes_between(before, after, matches):
        assert step is None
        assert compared <= 2 * ROWS_PER_STEP  # a row as it was, and as it is
        compared = 0
    assert compared <= 4 * ROWS_PER_STEP  # the last rows of both states
