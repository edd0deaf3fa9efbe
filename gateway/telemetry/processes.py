"""CPU time, memory, open files and start time of the worker processes.

prometheus_client measures its own process, and nothing where several processes share their metrics.
"""

from collections.abc import Collection, Iterator

from prometheus_client import Metric, ProcessCollector
from prometheus_client.registry import Collector


class WorkerCollector(Collector):
    """The `process_*` metrics of several processes, as prometheus_client has them of one.

    The label `pid` tells them apart. A sum would fall when a worker is replaced, which rates of CPU
    time take for a restart of all.
    """

    def __init__(self, pids: Collection[int]) -> None:
        self._pids = pids

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for pid in self._pids:
            for measured in _measure(pid):
                family = families.setdefault(
                    measured.name, Metric(measured.name, measured.documentation, measured.type)
                )
                for sample in measured.samples:
                    family.add_sample(sample.name, {**sample.labels, "pid": str(pid)}, sample.value)
        yield from families.values()


def _measure(pid: int) -> Iterator[Metric]:
    """Measure a process; a process that has ended has no metrics."""
    yield from ProcessCollector(pid=lambda: pid, registry=None).collect()
