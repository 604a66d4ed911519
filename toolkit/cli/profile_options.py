"""Options of `toolkit profile`: how to measure, and where results go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from toolkit.cli.options import Csv, Html, Json, Markdown, Overwrite, Resume, Script, Seconds, Threads, flag
from toolkit.cli.paths import output_file
from toolkit.cli.values import cpu_numbers, share
from toolkit.errors import InputError

if TYPE_CHECKING:
    from toolkit.profiling.options import ProfileOptions

_MEASURING = Group("Measuring", sort_key=1)
_RESULTS = Group("Results", sort_key=2)

_DURATION, _QUICK_DURATION = 5.0, 1.0
"""Seconds per configuration."""


@Parameter(name="*", group=_MEASURING)
@dataclass(frozen=True, kw_only=True)
class Measuring:
    """How configurations are measured."""

    boundary: Annotated[
        Literal["compute", "host", "image"],
        Parameter(
            help="What a frame time includes. compute: inference only; input and output stay where the runtime needs "
            "them. host: from host memory to host memory, including copies. image: from one decoded uint8 image to "
            "another, including conversion."
        ),
    ] = "host"
    duration: Annotated[
        Seconds, Parameter(help="Seconds of measurement per configuration; at least five frames are measured.")
    ] = _DURATION
    precision_of_timing: Annotated[
        str,
        Parameter(
            help="End a configuration early when the 95 % interval of its median is narrower than this share of it."
        ),
    ] = "2%"
    cell_timeout: Annotated[
        float,
        Parameter(help="Seconds after which a configuration that does not respond is ended; the others continue."),
    ] = 300.0
    threads: Threads = 0
    cpus: Annotated[
        str | None,
        Parameter(
            help="CPUs to run on, for example 0-3,8. Default: as many CPUs as threads, on different cores first."
        ),
    ] = None
    streams: Annotated[
        int, Parameter(help="Also measure the throughput of this many concurrent sessions, which share the threads.")
    ] = 1
    per_layer: Annotated[bool, flag("Also show the time of every layer, from the runtime's own profiler.")] = False
    builds: Annotated[
        int, Parameter(help="Build this many engines of each configuration and show how much they differ.")
    ] = 1
    roofline: Annotated[
        bool, Parameter(help="Compare configurations with the machine's peak performance, which is measured once.")
    ] = True
    quick: Annotated[
        bool,
        flag(
            "A first look: one second per configuration, only runtimes that run the ONNX graph, no speed-ups and no "
            "roofline."
        ),
    ] = False

    def __post_init__(self) -> None:
        if self.quick and (self.duration, self.roofline) != (_DURATION, True):
            raise InputError("--quick sets --duration and --no-roofline itself", "Leave out one of them.")

    def options(self) -> ProfileOptions:
        """The same, for the API.

        Raises:
            InputError: a share or a list of CPUs that cannot be read.
        """
        tolerance, cpus = share(self.precision_of_timing, "--precision-of-timing"), tuple(cpu_numbers(self.cpus))
        from toolkit.profiling.options import ProfileOptions

        return ProfileOptions(
            _QUICK_DURATION if self.quick else self.duration,
            self.threads,
            cpus,
            self.boundary,
            tolerance,
            self.cell_timeout,
            self.streams,
            self.per_layer,
            self.builds,
            self.roofline and not self.quick,
        )


@Parameter(name="*", group=_RESULTS)
@dataclass(frozen=True, kw_only=True)
class Results:
    """Where results go."""

    output: Annotated[
        Path | None,
        Parameter(
            help="Report file (.json), which `toolkit report` and `toolkit gate` read. Default: report.json, or "
            "report-2.json, ... if it exists; with --resume the last of these.",
            alias="-o",
            validator=output_file(".json"),
        ),
    ] = None
    html: Annotated[Html, Parameter(help="Write a self-contained HTML page with charts.")] = None
    markdown: Annotated[
        Markdown,
        Parameter(help="Write Markdown tables for a README or a pull request.", validator=output_file(".md")),
    ] = None
    overwrite: Overwrite = False
    resume: Annotated[Resume, flag("Continue the report that an interrupted run left at --output.")] = False
    gen: Annotated[
        Script,
        Parameter(
            help="Write a Python script that times one configuration without the toolkit, and measure nothing. `-`: to "
            "standard output."
        ),
    ] = None
    json: Json = False
    csv: Csv = False

    def __post_init__(self) -> None:
        if self.json and self.csv:
            raise InputError("--json and --csv cannot be combined")
