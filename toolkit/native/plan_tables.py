"""C++ tables of a program: its stages, their sources, and its line buffers, as `headers/band.h` reads them."""

from __future__ import annotations

import json

from toolkit.native.program import Program, WinogradConvolution
from toolkit.quoting import cpp_string

_LITERAL = 100
"""Characters per string literal before quoting; adjacent literals are concatenated by the compiler."""


def plan_tables(program: Program) -> str:
    """Tables of stages and buffers, and the executed precisions as JSON."""
    whole = program.video or program
    text = []
    for index, stage in enumerate(whole.stages):
        rows = [
            f"{{{s.buffer}, {s.rate.numerator}, {s.rate.denominator}, {s.rows[0]}, {s.rows[1]}, "
            f"{s.columns[0]}, {s.columns[1]}}}"
            for s in stage.sources
        ]
        if rows:
            text.append(f"const Source kSources{index}[] = {{{', '.join(rows)}}};")
    entries = [
        f"{{{stage.size.numerator}, {stage.size.denominator}, "
        f"{f'kSources{index}' if stage.sources else 'nullptr'}, {len(stage.sources)}, "
        f"{stage.rows}, {stage.phase}, stage_{index}}}"
        for index, stage in enumerate(whole.stages)
    ]
    text.append("const StagePlan kStages[] = {\n  " + ",\n  ".join(entries) + "};")
    zeros = {"float": "0", "bf16": "0", "int8": "0x80808080u"}
    held = [
        f"{{{b.stage}, {b.planes}, {b.ring}, {zeros[b.format]}, Border::{'kReflect' if b.reflect else 'kZero'}}}"
        for b in whole.buffers
    ]
    text.append("const BufferPlan kBuffers[] = {\n  " + ",\n  ".join(held) + "};")
    # Both plans use the same tables, of which the second has one entry more.
    for name, planned in (("kPlan", program), ("kVideoPlan", whole)):
        tables = f"kStages, {len(planned.stages)}, kBuffers, {len(planned.buffers)}"
        sizes = f"{planned.scale}, {planned.unit}, {planned.tile_columns}, {planned.halo}, {_scratch(planned)}"
        text.append(f"const NetworkPlan {name} = {{{tables}, {sizes}}};")
    executed = json.dumps(program.executed)
    chunks = [executed[start : start + _LITERAL] for start in range(0, len(executed), _LITERAL)]
    text.append("const char kExecuted[] =\n  " + "\n  ".join(map(cpp_string, chunks)) + ";\n")
    return "\n".join(text)


def _scratch(program: Program) -> str:
    """C++ expression for the floats of scratch memory that stages need."""
    origins = [stage.origin for stage in program.stages]
    inputs = [origin.weight.shape[1] for origin in origins if isinstance(origin, WinogradConvolution)]
    return f"winograd_floats({max(inputs)})" if inputs else "0"
