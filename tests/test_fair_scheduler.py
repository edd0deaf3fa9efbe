"""Turns: one of each caller's requests begins in a round of the event loop."""

import asyncio

from gateway.concurrency import FairScheduler


async def begun_in_rounds(turns: FairScheduler, callers: str) -> list[str]:
    """Let requests of these callers come at once; says who began in which round."""
    begun = [""]

    async def begin(caller: str) -> None:
        await turns.wait_turn(caller.encode())
        begun[-1] += caller

    tasks = [asyncio.create_task(begin(caller)) for caller in callers]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        begun.append("")
    return [each for each in begun if each]


async def test_who_asks_much_waits_for_themselves_alone() -> None:
    """Others who come after them begin in the first round all the same."""
    assert await begun_in_rounds(FairScheduler(), "aaaabc") == ["abc", "a", "a", "a"]


async def test_a_request_that_comes_alone_begins_at_once() -> None:
    """It does not wait for a round to end."""
    turns = FairScheduler()
    coroutine = turns.wait_turn(b"a")
    try:
        coroutine.send(None)
    except StopIteration:
        waited = False
    else:
        waited = True

    assert not waited


async def test_one_that_leaves_is_passed_over() -> None:
    """Those behind it move up, and in the end nobody is known."""
    turns = FairScheduler()
    await turns.wait_turn(b"a")
    waiting = [asyncio.create_task(turns.wait_turn(b"a")) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert [type(result) for result in results] == [type(None), asyncio.CancelledError, type(None)]
    assert not turns._queues
