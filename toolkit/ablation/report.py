"""Data classes of an ablation report, with its JSON, Markdown and chart forms."""

from __future__ import annotations

from pathlib import Path

import msgspec

from toolkit.artifact import encode
from toolkit.pages.drawing import drawn
from toolkit.pages.markdown import table
from toolkit.profiling.measuring.environment import Environment
from toolkit.quoting import markdown, plot
from toolkit.system.atomic import check_outputs, write_bytes

SCHEMA = 1


class FrameTime(msgspec.Struct, frozen=True):
    """Median frame time in seconds; None and the reason if it was not measured."""

    runtime: str
    workload: str
    median: float | None
    reason: str = ""


class StepReport(msgspec.Struct, frozen=True):
    """One network.

    `psnr_y` is in dB after training; `multiply_adds` are those of the merged network per frame, by workload.
    """

    preset: str
    parameters: int
    fused_parameters: int
    multiply_adds: dict[str, int]
    psnr_y: float
    times: tuple[FrameTime, ...]

    def seconds(self, runtime: str, workload: str) -> float | None:
        found = (time.median for time in self.times if (time.runtime, time.workload) == (runtime, workload))
        return next(found, None)


class AblationReport(msgspec.Struct, frozen=True):
    """All steps, in order. `bicubic` is the PSNR-Y of the bicubic baseline on the same images, in dB."""

    scale: int
    iterations: int
    training: str
    images: str
    bicubic: float
    environment: Environment
    threads: int
    steps: tuple[StepReport, ...]
    schema: int = SCHEMA

    @property
    def cells(self) -> list[tuple[str, str]]:
        """Runtimes and workloads with at least one frame time."""
        found = [(time.runtime, time.workload) for step in self.steps for time in step.times if time.median is not None]
        return list(dict.fromkeys(found))

    def to_json(self) -> str:
        return encode(self).decode()

    def to_markdown(self) -> str:
        """A table for a README or a pull request."""
        workloads = list(self.steps[0].multiply_adds)
        header = ["step", "parameters", "fused", *(f"GMAC {markdown(name)}" for name in workloads)]
        header += [markdown(f"{runtime} {workload}, ms") for runtime, workload in self.cells]
        header += ["PSNR-Y, dB", "over bicubic"]
        rows = []
        for step in self.steps:
            seconds = [step.seconds(*cell) for cell in self.cells]
            rows.append(
                [
                    markdown(step.preset),
                    f"{step.parameters:,}",
                    f"{step.fused_parameters:,}",
                    *(f"{step.multiply_adds[name] / 1e9:.1f}" for name in workloads),
                    *("–" if value is None else f"{1000 * value:.0f}" for value in seconds),
                    f"{step.psnr_y:.3f}",
                    f"{step.psnr_y - self.bicubic:+.3f}",
                ]
            )
        about = (
            f"x{self.scale}, {self.iterations:,} iterations each ({self.training}); PSNR-Y on {self.images}, bicubic "
            f"{self.bicubic:.3f} dB. {self.environment.processor}, {self.threads} threads; frame times are medians of "
            "interleaved runs."
        )
        return "\n".join([*table(header, rows, texts=1), "", markdown(about), ""])

    def plot(self, path: Path, *, overwrite: bool = False) -> None:
        """Draw quality against frame time, with one series per runtime and workload.

        The suffix of `path` chooses the format: PNG, SVG or PDF.

        Raises:
            Unavailable: matplotlib is not installed.
            InputError: the file cannot be written.
            OutputExists: it exists, and `overwrite` is false.
        """
        with drawn(path, 9, 6, overwrite=overwrite) as axes:
            for runtime, workload in self.cells:
                points = [(step.seconds(runtime, workload), step.psnr_y) for step in self.steps]
                known = [
                    (number, 1000 * seconds, psnr)
                    for number, (seconds, psnr) in enumerate(points, 1)
                    if seconds is not None
                ]
                times, quality = [time for _, time, _ in known], [psnr for _, _, psnr in known]
                axes.plot(times, quality, "o", markersize=4, label=plot(f"{runtime}, {workload}"))
                for number, time, psnr in known:
                    # Steps of similar quality lie close together: only numbers fit, alternating between two heights.
                    place = {"xytext": (0, 4 + 9 * (number % 2)), "textcoords": "offset points", "fontsize": 7}
                    axes.annotate(str(number), (time, psnr), ha="center", **place)
            axes.set_title(plot(_numbered([step.preset for step in self.steps])), fontsize=8)
            axes.axhline(self.bicubic, color="tab:gray", linewidth=1, label="bicubic")
            axes.set_xscale("log")
            for axis in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
                axis("{x:.0f}")
            axes.tick_params(axis="x", which="both", labelsize=7)
            axes.set_xlabel("frame time, ms")
            axes.set_ylabel(f"PSNR-Y after {self.iterations:,} iterations, dB")
            axes.legend(fontsize=8)


def write_report(report: AblationReport, directory: Path, *, overwrite: bool = False) -> None:
    """report.json, report.md and report.svg, in `directory`.

    Raises:
        Unavailable: matplotlib is not installed; the other two are written.
        InputError: they cannot be written.
        OutputExists: one of them exists, and `overwrite` is false; none is written.
    """
    paths = [directory / f"report.{suffix}" for suffix in ("json", "md", "svg")]
    check_outputs(*paths, overwrite=overwrite)
    for path, text in zip(paths, (report.to_json(), report.to_markdown()), strict=False):
        write_bytes(path, text.encode(), overwrite=overwrite)
    report.plot(paths[-1], overwrite=overwrite)


def _numbered(names: list[str]) -> str:
    """The legend of numbers: `1 first, 2 second, ...`, six per line."""
    words = [f"{number} {name}" for number, name in enumerate(names, 1)]
    return "\n".join(",  ".join(words[start : start + 6]) for start in range(0, len(words), 6))
