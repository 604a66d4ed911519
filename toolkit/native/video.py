"""Video frames: the plan of a program that reads and writes luma and chroma at half the height and width (4:2:0).

The first stages convert what they read, which needs no plan of its own. A chroma sample of the output is made from
several rows and columns of pixels: the last stage of the network keeps full-size chroma in a line buffer, and one more
stage reduces it.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil

from toolkit.native.program import Buffer, Program, ReduceChroma, Source, Stage, WriteFrame
from toolkit.native.schedule import schedule

_REACH = (-3, 4)
"""Luma samples 2k - 3 to 2k + 4 contribute to chroma sample k: `headers/video.h`."""


def video_program(program: Program) -> Program | None:
    """The program with a last stage for chroma; None: it takes luma.

    Both programs share stages and buffers, whose rings are enlarged to what either needs.
    """
    if program.input.channels != 3:
        return None
    last = program.stages[-1]
    factor = next(item.factor for item in last.operations if isinstance(item, WriteFrame))
    # For each row of a pixel's block, Cb and Cr at half its width: `ChromaRow` in headers/video.h.
    kept = Buffer(len(program.stages) - 1, 2 * factor * ceil(factor / 2), "float")
    rate = Fraction(2, factor)
    # Chroma row k begins at row floor(2k / factor) of the buffer; the pattern repeats after `factor` rows.
    first, beyond = ([(2 * row + reach) // factor - 2 * row // factor for row in range(factor)] for reach in _REACH)
    reach = min(first), max(beyond)
    source = Source(len(program.buffers), rate, reach, reach)
    stage = Stage(ReduceChroma(source, factor), 2, Fraction(program.scale, 2))
    made = replace(program, stages=[*program.stages, stage], buffers=[*program.buffers, kept])
    schedule(made)
    return made
