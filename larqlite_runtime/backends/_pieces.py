"""How a batch is run: how many threads, and how many images at a time go through the steps."""

from __future__ import annotations

from dataclasses import dataclass

from larqlite_runtime._machine import cache_of_a_core
from larqlite_runtime.backends._engine import Engine

# Of the second-level cache, for what the images of a piece touch; weights need the rest.
SHARE_OF_CACHE = 0.75
# Seconds of a call that other threads of Python may as well wait for: handing over to them and
# back takes as long.
SHORT = 50e-6


@dataclass(frozen=True)
class BatchCut:
    """How the parts of a program run a batch.

    Attributes:
        batch: images.
        piece: images that all steps of a part are run for before the next come, so that what
            one step writes is in the cache when the next reads it.
        threads: that are worth their while, for each part.
        seconds: that one thread is estimated to take for each part.
    """

    batch: int
    piece: int
    threads: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def count(self) -> int:
        """Pieces of the batch."""
        return -(-self.batch // self.piece)

    @property
    def copies(self) -> int:
        """Threads that run pieces of their own at the same time."""
        return min(self.count, max(self.threads, default=1))


def pieces_of(engine: Engine, batch: int) -> BatchCut:
    """Cuts a batch, and chooses threads."""
    if not engine.parts:  # NumPy, or segments alone
        nothing = (0.0,) * len(engine.plan.program.parts)
        return BatchCut(batch, batch, (1,) * len(nothing), nothing)
    room = int(SHARE_OF_CACHE * cache_of_a_core())
    fitting = max(1, min(batch, room // max(1, _touched(engine))))
    of_each = min(fitting, -(-batch // engine.threads))
    shared = _estimated(engine, batch, of_each)
    most = max(shared.threads)
    if most == 1:
        return _estimated(engine, batch, _even(batch, fitting, 1))
    return _estimated(engine, batch, _even(batch, of_each, most))


def _even(batch: int, piece: int, threads: int) -> int:
    """Images of a piece, at most so many, so that each thread gets as many pieces."""
    count = -(-batch // piece)
    if batch >= threads:
        count = min(batch, -(-count // threads) * threads)
    return -(-batch // count)


def _estimated(engine: Engine, batch: int, piece: int) -> BatchCut:
    found = [
        part.estimate(batch, piece, engine.threads, engine.isa) for part in engine.parts
    ]
    return BatchCut(batch, piece, *(tuple(item) for item in zip(*found, strict=True)))


def _touched(engine: Engine) -> int:
    """Bytes of an image that the step touches which touches most."""
    buffers = engine.plan.program.buffers
    return max(
        sum(
            buffers[number].bytes
            for number in step.buffers
            if buffers[number].constant is None
        )
        for part in engine.plan.program.parts
        for step in part
    )


def kept_buffers(engine: Engine) -> set[int]:
    """Buffers that hold the whole batch, however it is cut.

    Those that the caller feeds or gets, segments read or write, or several parts use.
    """
    plan = engine.plan
    kept = {port.buffer for port in plan.inputs}
    kept |= {output.port.buffer for output in plan.outputs.values()}
    used: set[int] = set()
    for stage in plan.stages:
        if stage.part is None:
            kept |= {port.buffer for port in (*stage.inputs, *stage.outputs)}
            continue
        own = set().union(*(step.buffers for step in plan.program.parts[stage.part]))
        kept |= used & own
        used |= own
    buffers = plan.program.buffers
    kept |= {number for number, buffer in enumerate(buffers) if buffer.external}
    return {number for number in kept if buffers[number].constant is None}


def bytes_kept(engine: Engine) -> int:
    """Bytes of an image that a workspace holds for all of a batch at once."""
    program = engine.plan.program
    if not engine.parts:
        return program.arena
    return sum(
        program.buffers[number].bytes
        for number in kept_buffers(engine)
        if not program.buffers[number].external
    )


def workspace_bytes(engine: Engine, pieces: BatchCut) -> int:
    """Bytes of a workspace for a batch that is cut into these pieces."""
    of_pieces = engine.plan.program.arena * pieces.piece * pieces.copies
    return of_pieces + (bytes_kept(engine) * pieces.batch if pieces.count > 1 else 0)


def threads_of(engine: Engine, pieces: BatchCut) -> int:
    """Threads that work on a batch: the most of its parts and segments."""
    return max((*pieces.threads, *engine.segment_threads), default=1)
