"""`toolkit upscale --dry-run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.console import err, out, print_documents, progress_bar, styled
from toolkit.errors import CheckFailed

if TYPE_CHECKING:
    from toolkit.media.dry_run import PlannedFile, UpscalePlan
    from toolkit.media.options import UpscaleOptions


def print_plan(
    files: tuple[Path, ...], output: Path | None, options: UpscaleOptions, suffix: str | None, *, json: bool
) -> None:
    """Print what `upscale` would do with these arguments; exit 1 if a file would fail."""
    from toolkit.media.dry_run import dry_run

    with progress_bar() as progress:
        plan = dry_run(files, output, options, suffix=suffix, progress=progress)
    if json:
        print_documents([plan])
    else:
        _print(plan)
    if not plan.complete:
        raise SystemExit(CheckFailed.exit_code)


def _print(plan: UpscalePlan) -> None:
    for left_out in plan.left_out:
        err.print(styled("[bold yellow]skipped:[/] {:line}: {:line}", left_out.source, left_out.reason), soft_wrap=True)
    for item in plan.files:
        if item.error:
            err.print(styled("[bold red]would fail:[/] {:line}", item.error), soft_wrap=True)
            if item.remedy:
                err.print(styled("  {}", item.remedy), soft_wrap=True)
        else:
            out.print(styled("[bold]{:line}[/]: {}", item.output, _described(item)), soft_wrap=True)
    done = [item for item in plan.files if not item.error]
    if len(plan.files) > 1 or plan.jobs > 1:
        how = f" with {plan.jobs} processes" if plan.jobs > 1 else ""
        estimate = _estimate(plan.seconds, sum(item.bytes for item in done))
        out.print(styled("{} of {} files{}: {}", len(done), len(plan.files), how, estimate), soft_wrap=True)
    for space in plan.spaces:
        if space.needed > space.free:
            needed, free = _size(space.needed), _size(space.free)
            err.print(
                styled(
                    "[bold red]would fail:[/] about {} are needed in {:line}, and {} are free",
                    needed,
                    space.directory,
                    free,
                ),
                soft_wrap=True,
            )


def _described(item: PlannedFile) -> str:
    sizes = " -> ".join(f"{width}x{height}" for width, height in (item.size, item.result))
    frames = f", {item.frames} frames" if item.kind == "video" else ""
    weights = f", {item.weights}" if item.weights.reason else ""
    return f"{sizes}{frames}, {_estimate(item.seconds, item.bytes)}{weights}"


def _estimate(seconds: float, size: int) -> str:
    return f"about {_duration(seconds)} and {_size(size)}"


def _size(size: int) -> str:
    """With two digits or so: `4.2 MB`, `38 kB`."""
    unit, name = (1e6, "MB") if size >= 1e6 else (1e3, "kB")
    return f"{size / unit:.{0 if size >= 10 * unit else 1}f} {name}"


def _duration(seconds: float) -> str:
    """With two digits or so: `4.2 s`, `38 s`, `12 min`, `3 h 20 min`."""
    if seconds < 60:
        return f"{seconds:.{1 if seconds < 10 else 0}f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
