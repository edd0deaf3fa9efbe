"""The faults that are switched on, for whom, and for how long."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.sandbox.dose import Dose
from gateway.sandbox.fault import Fault
from gateway.sandbox.questions import Answer, Proceed, Question


@dataclass(slots=True, eq=False)
class Outbreak:
    """One fault, switched on; a `None` among its limits means no limit."""

    fault: Fault
    dose: Dose
    operation: str | None = None
    access_key_id: str | None = None
    times: int | None = None

    def strikes(self, question: Question) -> bool:
        """Say whether the question is one of those it was meant for."""
        caller = question.identity.caller
        return (
            self.times != 0
            and self.operation in {None, question.operation}
            and self.access_key_id in {None, caller.access_key_id}
            and self.fault.concerns(question)
        )

    def around(self, proceed: Proceed) -> Proceed:
        """Strike once: give the answer as it comes out of this fault."""
        if self.times is not None:
            self.times -= 1

        async def stricken(question: Question) -> Answer:
            return await self.fault.act(question, proceed, self.dose)

        return stricken

    def describe(self) -> dict[str, object]:
        """Give it in the form in which it is switched on; `times` is what is left."""
        return {
            "fault": self.fault.name,
            "operation": self.operation,
            "access_key_id": self.access_key_id,
            "times": self.times,
            **self.dose.settings,
        }


class Outbreaks:
    """All faults that are on, in the order in which they came.

    One whose `times` are used up stays until it is healed: it may still hold a call.
    """

    def __init__(self, outbreaks: Iterable[Outbreak] = ()) -> None:
        self._outbreaks = list(outbreaks)

    def add(self, outbreak: Outbreak) -> None:
        """Switch a fault on; the same fault for the same calls is replaced."""
        target = (outbreak.fault, outbreak.operation, outbreak.access_key_id)
        self.heal(lambda old: (old.fault, old.operation, old.access_key_id) == target)
        self._outbreaks.append(outbreak)

    def heal(self, chosen: Callable[[Outbreak], bool] = lambda _outbreak: True) -> int:
        """Switch faults off, let go whoever they hold up, and say how many there were."""
        ended = [outbreak for outbreak in self._outbreaks if chosen(outbreak)]
        self._outbreaks = [outbreak for outbreak in self._outbreaks if not chosen(outbreak)]
        for outbreak in ended:
            outbreak.dose.healed.set()
        return len(ended)

    def describe(self) -> list[dict[str, object]]:
        """Give those that can still strike as JSON values."""
        return [outbreak.describe() for outbreak in self._outbreaks if outbreak.times != 0]

    def afflict(self, question: Question, proceed: Proceed) -> Proceed:
        """Put every fault that strikes this question around its answer, the first outermost."""
        for outbreak in reversed(self._outbreaks):
            if outbreak.strikes(question):
                proceed = outbreak.around(proceed)
        return proceed
