"""How many rows each line buffer must hold, and how wide a part of the frame is computed at a time."""

from __future__ import annotations

from math import ceil, floor

from toolkit.native.program import Program

_CACHE_BYTES = 3 << 20
"""Line buffers of one thread. More than most second-level caches, but what is read next is fetched ahead."""

_HALO_SHARE = 1 / 24
"""Of a part's width, at most, is computed twice, because parts overlap."""

_ROWS = 96
"""Rows of the last stage that are played through; every schedule repeats itself long before."""


def schedule(program: Program) -> None:
    """Fills in ring sizes, tile columns and halo."""
    for first in range(4):
        _play(program, first)
    end = program.stages[-1]
    across = sum(
        buffer.planes * (buffer.ring + 1) * 4 * float(program.stages[buffer.stage].size / end.size)
        for buffer in program.buffers
    )
    program.halo = _halo(program)
    narrowest = ceil(2 * program.halo / _HALO_SHARE)
    program.tile_columns = max(int(_CACHE_BYTES / max(across, 1)), narrowest, 64)


def _halo(program: Program) -> int:
    """Rows of the last stage below its own that a row needs, all stages together."""
    below = [0.0] * len(program.stages)
    for index in range(len(program.stages) - 1, -1, -1):
        stage = program.stages[index]
        for source in stage.sources:
            read = program.buffers[source.buffer].stage
            below[read] = max(below[read], below[index] * float(source.rate) + source.rows[1])
    end = program.stages[-1].size
    return ceil(max(rows * float(end / stage.size) for rows, stage in zip(below, program.stages, strict=True)))


def _play(program: Program, first: int) -> None:
    """The schedule of band.h without the arithmetic: rows are made when asked for, and each is kept until nobody
    still to come reads it."""
    stages, buffers = program.stages, program.buffers
    following = [1 << 30] * len(stages)
    following[-1] = first
    readers: list[list[int]] = [[] for _ in buffers]
    for index in range(len(stages) - 1, -1, -1):
        for source in stages[index].sources:
            readers[source.buffer].append(index)
            read = buffers[source.buffer].stage
            lowest = max(floor(following[index] * source.rate) + source.rows[0], 0)
            following[read] = min(following[read], lowest)

    def lowest_row(buffer: int) -> int:
        """That is still read, by the row its readers make next."""
        return min(
            max(floor(following[reader] * source.rate) + source.rows[0], 0)
            for reader in readers[buffer]
            for source in stages[reader].sources
            if source.buffer == buffer
        )

    def need(index: int, row: int) -> None:
        while following[index] <= row:
            for source in stages[index].sources:
                need(buffers[source.buffer].stage, floor(following[index] * source.rate) + source.rows[1])
            for number, buffer in enumerate(buffers):
                if buffer.stage == index:
                    buffer.ring = max(buffer.ring, following[index] - lowest_row(number) + 1)
            following[index] += 1

    need(len(stages) - 1, _ROWS)
