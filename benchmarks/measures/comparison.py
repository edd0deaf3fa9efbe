"""The gateway beside others that answer the same question, in turn on an otherwise idle machine."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from benchmarks import wrk
from benchmarks.contestants import (
    AIOBOTO3,
    CONSTANT,
    HIVE,
    OURS,
    REST_SHAPED,
    STRAWBERRY,
    TAILCALL,
    TWO_WORKERS,
    open_contestants,
)
from benchmarks.processes import Process, upstream_process
from benchmarks.questions import Question
from benchmarks.table import Row
from benchmarks.wrk import Slot

WARM_UP_SECONDS = 2
SECONDS = 1
COLD_SECONDS = 2
ROUNDS = 5
CONNECTIONS = 16
COLD_CONNECTIONS = 64
COLD_CALLERS = 2 * COLD_CONNECTIONS
"""More than requests at once: equal ones of one caller would share an upstream call."""
AIOBOTO3_CONCURRENCY = 10
"""The stock client's rate hardly differs between 5 and 20."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A contestant's rate as a multiple of another's."""

    of: str
    to: str
    minimum: float | None = None


@dataclass(frozen=True, slots=True)
class Case:
    title: str
    question: Question
    ratios: Sequence[Ratio]
    connections: int = CONNECTIONS
    seconds: int = SECONDS
    max_cpu_ms: float | None = None
    """Of the gateway, for a request."""

    def contestants(self) -> list[str]:
        return list(dict.fromkeys(name for each in self.ratios for name in (each.of, each.to)))


CASES = {
    "hot": Case(
        "same request again, 100 rows x 11 fields",
        Question(rows=100, every_field=True),
        (
            Ratio(OURS, HIVE, 5),
            Ratio(OURS, CONSTANT, 0.35),
            Ratio(TWO_WORKERS, TAILCALL, 1),
        ),
    ),
    "small-hot": Case(
        "same request again, 10 rows x 2 fields",
        Question(rows=10, every_field=False),
        (Ratio(OURS, HIVE, 3), Ratio(OURS, CONSTANT, 0.25), Ratio(OURS, TAILCALL)),
    ),
    "warm-vars": Case(
        "page cached, a variable differs",
        Question(rows=100, every_field=True, varying="variable"),
        (Ratio(OURS, HIVE, 4), Ratio(OURS, STRAWBERRY, 8), Ratio(TWO_WORKERS, TAILCALL)),
    ),
    "warm-text": Case(
        "page cached, the text differs",
        Question(rows=100, every_field=True, varying="text"),
        (Ratio(OURS, HIVE, 2.7), Ratio(OURS, STRAWBERRY, 2.7), Ratio(OURS, TAILCALL)),
    ),
    "cold": Case(
        "nothing cached, 64 at a time",
        Question(rows=100, every_field=True, cached=False, callers=COLD_CALLERS),
        (
            Ratio(OURS, HIVE, 2),
            Ratio(OURS, AIOBOTO3, 9),
            Ratio(OURS, STRAWBERRY),
            Ratio(OURS, TAILCALL),
        ),
        connections=COLD_CONNECTIONS,
        seconds=COLD_SECONDS,
        max_cpu_ms=1.4,
    ),
    "small-cold": Case(
        "nothing cached, 10 rows x 2 fields",
        Question(rows=10, every_field=False, cached=False, callers=COLD_CALLERS),
        (Ratio(OURS, HIVE, 1), Ratio(OURS, AIOBOTO3, 2), Ratio(OURS, TAILCALL)),
        connections=COLD_CONNECTIONS,
        seconds=COLD_SECONDS,
    ),
}

Slots = Mapping[str, Sequence[Slot]]
"""The slots of each contestant, one of each round."""


async def measure(name: str) -> list[Row]:
    """Measure a case, and compare what each contestant did in the same round."""
    case = CASES[name]
    with upstream_process() as upstream, ExitStack() as stack:
        contestants = open_contestants(case.contestants(), case.question, upstream, stack)
        slots = await _rounds(case, contestants)
    return [*_ours(name, case, slots), *_compared(case, slots), _client(slots)]


async def _rounds(case: Case, contestants: Mapping[str, Process]) -> Slots:
    slots: dict[str, list[Slot]] = {name: [] for name in contestants}
    for name, process in contestants.items():
        await _slot(case, name, process, WARM_UP_SECONDS)
    for _ in range(ROUNDS):
        for name, process in contestants.items():
            slots[name].append(await _slot(case, name, process, case.seconds))
    return slots


async def _slot(case: Case, name: str, process: Process, seconds: int) -> Slot:
    if name == AIOBOTO3:
        return await _stock_slot(process, case.question.rows, seconds)
    requests = case.question.requests(rest_shaped=name in REST_SHAPED)
    return await wrk.load(
        process, requests, connections=case.connections, seconds=seconds, rows=case.question.rows
    )


async def _stock_slot(client: Process, rows: int, seconds: int) -> Slot:
    cpu = client.cpu()
    client.write_line(f"{AIOBOTO3_CONCURRENCY} {seconds} {rows}")
    calls, elapsed = (await asyncio.to_thread(client.read_line)).split()
    return Slot(int(calls) / float(elapsed), 1000 * (client.cpu() - cpu) / int(calls), 0)


def _ours(name: str, case: Case, slots: Slots) -> list[Row]:
    limit = case.max_cpu_ms
    cpu_ms = median(slot.cpu_ms for slot in slots[OURS])
    rows = [
        Row(
            f"{name}: {case.title}",
            figures(slots[OURS]),
            "" if limit is None else f"<= {limit:g} ms",
            None if limit is None else cpu_ms <= limit,
            summary=_summary(case, slots) if case.question.every_field else (),
        )
    ]
    if TWO_WORKERS in slots:
        rows.append(Row("  two workers", figures(slots[TWO_WORKERS])))
    return rows


def _compared(case: Case, slots: Slots) -> list[Row]:
    rows: list[Row] = []
    for each in case.ratios:
        if each.to not in slots:
            continue
        pairs = list(zip(slots[each.of], slots[each.to], strict=True))
        ratio = median(a.rate / b.rate for a, b in pairs)
        cpu_ratio = median(b.cpu_ms / a.cpu_ms for a, b in pairs)
        whose = "two workers " if each.of == TWO_WORKERS else ""
        rows.append(
            Row(
                f"  {whose}to {each.to}: {figures(slots[each.to])}",
                f"{ratio:.2f} x (CPU {cpu_ratio:.2f} x)",
                "" if each.minimum is None else f">= {each.minimum:g} x",
                None if each.minimum is None else ratio >= each.minimum,
            )
        )
    return rows


def _client(slots: Slots) -> Row:
    share = max(slot.client_share for each in slots.values() for slot in each)
    return Row("  load generator, at most", f"{share:.0%} of a core")


def _summary(case: Case, slots: Slots) -> tuple[str, ...]:
    named = (OURS, TWO_WORKERS, HIVE, TAILCALL)
    ours, two, hive, tailcall = (figures(slots[name]) if name in slots else "" for name in named)
    others = (f"{name} {figures(each)}" for name, each in slots.items() if name not in named)
    return (
        case.title,
        f"{ours}; two workers {two}" if two else ours,
        hive,
        tailcall,
        ", ".join(others),
    )


def figures(slots: Sequence[Slot]) -> str:
    rate = median(slot.rate for slot in slots)
    cpu_ms = median(slot.cpu_ms for slot in slots)
    return f"{rate:,.0f} /s ({cpu_ms:.3g} ms)"
