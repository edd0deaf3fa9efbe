"""Slots: so many at once for each key, and nothing kept of keys that nobody uses."""

import asyncio

from gateway.concurrency import KeyedSemaphore


async def test_who_comes_too_many_waits_and_then_gets_in_in_order() -> None:
    """One key's crowd is no other key's."""
    slots: KeyedSemaphore[str] = KeyedSemaphore(2)
    entered: list[int] = []
    leave = [asyncio.Event() for _ in range(5)]

    async def visit(number: int) -> None:
        async with slots.acquire("a"):
            entered.append(number)
            await leave[number].wait()

    visits = [asyncio.create_task(visit(number)) for number in range(5)]
    async with slots.acquire("b"):
        pass
    await asyncio.sleep(0)
    at_first = list(entered)
    for event in leave:
        event.set()
    await asyncio.gather(*visits)

    assert at_first == [0, 1]
    assert entered == [0, 1, 2, 3, 4]


async def test_a_key_is_forgotten_with_its_last_visitor() -> None:
    """Also when visitors are cancelled, inside or while they wait."""
    slots: KeyedSemaphore[int] = KeyedSemaphore(1)

    async def stay() -> None:
        async with slots.acquire(7):
            await asyncio.Event().wait()

    visits = [asyncio.create_task(stay()) for _ in range(3)]
    await asyncio.sleep(0)
    assert 7 in slots._semaphores
    for visit in visits:
        visit.cancel()
    await asyncio.gather(*visits, return_exceptions=True)

    assert (slots._semaphores, slots._users) == ({}, {})
    async with slots.acquire(7):
        pass
