"""The bytes of a network's file."""

import engines

from workloads._base import Bytes, Workload


class FileSize(Workload):
    """Measures once; a step is to have the file."""

    def measure(self, steps: int) -> Bytes:
        """The size of the file."""
        return Bytes(self.step())


def prepare(library: str, engine: str, network: str) -> Workload:
    """The file that an engine runs."""
    path = engines.file_of(engine, network)
    return FileSize(lambda: path.stat().st_size)
