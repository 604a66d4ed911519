"""Schedule of a program: rows that each line buffer holds, and the width of the column tiles.

Stages compute rows on demand (`headers/band.h`): before the last stage computes a row, it requests the rows it reads,
their stages request the rows that they read, and so on up to the input. Every row is computed once per band, and a row
is overwritten as soon as no stage needs it any more. So a frame passes through a few rows per layer, which stay in the
cache, whatever its height.

    request for row r          3x3 convolutions: each layer runs one row ahead of the next
    stage 2 (output)   row r
    stage 1            row r + 1     ring of 3 or 4 rows
    stage 0 (input)    row r + 2     ring of 3 or 4 rows
"""

from __future__ import annotations

from math import ceil, floor, lcm

from toolkit.native.program import Program

_CACHE_BYTES = 3 << 20
"""Line buffers of one thread. That is more than most second-level caches, but access is sequential along rows, so the
hardware prefetcher hides it; narrower tiles would recompute more columns at their edges."""

_HALO_SHARE = 1 / 24
"""Largest share of a tile's columns that is computed twice. Neighbouring tiles overlap by the halo on both sides."""

_ROWS = 96
"""Rows of the last stage that are simulated beyond its halo. After the halo no stage is at the top edge any more, and
the pattern of requests repeats after a few rows (the least common multiple of the resampling factors), so any larger
number gives the same ring sizes."""

_PHASES = 4
"""First rows that are simulated at least. A band may start at any row, and next to a stage of another resolution the
number of rows held depends on the first row modulo the resampling factor."""


def schedule(program: Program) -> None:
    """Set the ring sizes of all buffers, the tile width and the halo of a program, whose phases are set."""
    program.halo = _halo(program)
    end = program.stages[-1]
    phases = max(_PHASES, lcm(*((end.size / stage.size).numerator for stage in program.stages)))
    below = phases * (2 * program.halo + 1)  # where bands start with all stages below the top edge
    # Rings only grow, so after all starts each holds the rows of the worst one.
    for first in (*range(phases), *range(below, below + phases)):
        _simulate(program, first)
    # Bytes of all line buffers per column of the last stage. A stage of another resolution has proportionally more or
    # fewer columns. Lanes have 4 bytes, and each buffer has one more row than its ring: the border above and below.
    bytes_per_column = sum(
        buffer.planes * (buffer.ring + 1) * 4 * float(program.stages[buffer.stage].size / end.size)
        for buffer in program.buffers
    )
    # Narrow tiles keep all buffers in the cache, wide ones compute fewer columns twice. The latter has priority.
    narrowest = ceil(2 * program.halo / _HALO_SHARE)
    program.tile_columns = max(int(_CACHE_BYTES / max(bytes_per_column, 1)), narrowest, 64)


def set_phases(program: Program) -> None:
    """Let stages that compute two rows at once end with the last row that a reader needs.

    A 3x3 convolution of rows r and r + 1 reads up to row r + 2, so two rows that its source computes at once should
    end there. Otherwise each stage would compute one row too many at both ends of a band, and so would all before it.
    """
    ends = [0] * len(program.stages)  # of each stage, a row that a reader needs last, modulo 2
    for index in range(len(program.stages) - 1, -1, -1):
        stage = program.stages[index]
        stage.phase = (ends[index] + 1) % stage.rows
        first = ends[index] - (stage.rows - 1)
        for source in stage.sources:
            ends[program.buffers[source.buffer].stage] = (floor(first * source.rate) + source.rows[1]) % 2


def _halo(program: Program) -> int:
    """Rows below its own that a row of the last stage depends on through all stages, in rows of the last stage.

    Kernels are nearly symmetric, so the same number is used above, and for columns.
    """
    below = [0.0] * len(program.stages)  # in rows of each stage
    # Stages read only buffers of earlier ones, so backwards every reader is complete before its sources are visited.
    for index in range(len(program.stages) - 1, -1, -1):
        stage = program.stages[index]
        for source in stage.sources:
            read = program.buffers[source.buffer].stage
            below[read] = max(below[read], below[index] * float(source.rate) + source.rows[1])
    end = program.stages[-1].size
    return ceil(max(rows * float(end / stage.size) for rows, stage in zip(below, program.stages, strict=True)))


def _simulate(program: Program, first: int) -> None:
    """Run the schedule of `headers/band.h` without arithmetic, and enlarge each ring to the rows it must hold at once.

    Args:
        program: whose `ring` fields are updated.
        first: row of the last stage that a band starts with.
    """
    stages, buffers = program.stages, program.buffers
    following = [1 << 30] * len(stages)  # for each stage, the row it computes next
    following[-1] = first
    readers: list[list[int]] = [[] for _ in buffers]
    # From the last stage to the first: a stage starts at the lowest row that any of its readers needs first.
    for index in range(len(stages) - 1, -1, -1):
        following[index] -= (following[index] - stages[index].phase) % stages[index].rows
        for source in stages[index].sources:
            readers[source.buffer].append(index)
            read = buffers[source.buffer].stage
            lowest = max(floor(following[index] * source.rate) + source.rows[0], 0)
            following[read] = min(following[read], lowest)

    def lowest_row(buffer: int) -> int:
        """The lowest row of a buffer that a reader still needs, for the row that it computes next."""
        return min(
            max(floor(following[reader] * source.rate) + source.rows[0], 0)
            for reader in readers[buffer]
            for source in stages[reader].sources
            if source.buffer == buffer
        )

    def need(index: int, row: int) -> None:
        """Compute rows of a stage up to and including `row`, and before each of them the rows that it reads."""
        # Depth first, as the engine does: sources run ahead only as far as this row needs, which keeps rings short.
        while following[index] <= row:
            for source in stages[index].sources:
                need(buffers[source.buffer].stage, floor(following[index] * source.rate) + source.rows[1])
            for number, buffer in enumerate(buffers):
                if buffer.stage == index:
                    # The new rows must not overwrite one that is still needed.
                    buffer.ring = max(buffer.ring, following[index] - lowest_row(number) + stages[index].rows)
            following[index] += stages[index].rows

    need(len(stages) - 1, first + program.halo + _ROWS)
