"""What `toolkit profile` can be told about measuring and about its results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

import toolkit

_MEASURING = Group("Measuring", sort_key=1)
_RESULTS = Group("Results", sort_key=2)


def _about(group: Group, text: str, **settings: object) -> Parameter:
    return Parameter(group=group, help=text, **settings)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """How cells are measured."""

    boundary: Annotated[
        toolkit.Boundary,
        _about(
            _MEASURING,
            "What a frame time is. compute: input and output stay where the runtime wants them; host: from host memory "
            "to host memory, copies included; image: from a decoded uint8 image to another, conversion included.",
        ),
    ] = "host"
    duration: Annotated[float, _about(_MEASURING, "Seconds of measuring per cell; at least five frames are taken.")] = (
        5.0
    )
    precision_of_timing: Annotated[
        str,
        _about(
            _MEASURING, "A cell ends earlier when the 95 % interval of its median is narrower than this share of it."
        ),
    ] = "2%"
    cell_timeout: Annotated[
        float,
        _about(_MEASURING, "Seconds after which a cell that does not answer is ended; the others go on."),
    ] = 300.0
    threads: Annotated[int, _about(_MEASURING, "Processor threads per cell; 0: all usable.")] = 0
    cpus: Annotated[
        str | None,
        _about(
            _MEASURING,
            "Processors that cells may run on, as 0-3,8. Default: as many as there are threads, one of every core "
            "first.",
        ),
    ] = None
    streams: Annotated[
        int,
        _about(_MEASURING, "Measure also the throughput of so many sessions at once, which share the threads."),
    ] = 1
    per_layer: Annotated[
        bool,
        _about(_MEASURING, "Show also the time of every layer, from the runtime's own profiler.", negative=()),
    ] = False
    builds: Annotated[
        int,
        _about(
            _MEASURING,
            "Build so many engines of the same thing, where the runtime builds any, and show how far they are apart.",
        ),
    ] = 1
    roofline: Annotated[
        bool,
        _about(_MEASURING, "Hold cells against what the machine can do at best, which is measured once."),
    ] = True


@dataclass(frozen=True, kw_only=True)
class Results:
    """Where results go."""

    output: Annotated[
        Path | None,
        _about(
            _RESULTS,
            "The report, which `toolkit report` and `toolkit gate` read. Default: report.json, where that "
            "exists report-2.json and so on; with --resume the last of these.",
            alias="-o",
        ),
    ] = None
    html: Annotated[Path | None, _about(_RESULTS, "Write also a page with charts, complete in itself.")] = None
    markdown: Annotated[Path | None, _about(_RESULTS, "Write also tables for a README or a pull request.")] = None
    overwrite: Annotated[
        bool, _about(_RESULTS, "Replace a report, page, tables or script of this name that exist.", negative=())
    ] = False
    resume: Annotated[
        bool,
        _about(_RESULTS, "Go on with the report that an interrupted run of the same left at --output.", negative=()),
    ] = False
    gen: Annotated[
        Path | None,
        _about(
            _RESULTS,
            "Measure nothing, but write a Python script that times one cell without the toolkit; `-`: to standard "
            "output.",
            allow_leading_hyphen=True,
        ),
    ] = None
    json: Annotated[bool, _about(_RESULTS, "Print one JSON document.", negative=())] = False
    csv: Annotated[bool, _about(_RESULTS, "Print comma-separated values.", negative=())] = False
