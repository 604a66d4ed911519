"""`toolkit web`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from toolkit.cli.console import err, out, print_documents, progress_bar, styled
from toolkit.cli.options import ArtifactPath, Json, OutputDirectory, Overwrite
from toolkit.cli.paths import each, existing_directory
from toolkit.deployment.web.ort_web import PACKAGE
from toolkit.quoting import shell


def web(
    artifact: ArtifactPath,
    /,
    *,
    output: OutputDirectory = Path("site"),
    onnxruntime_web: Annotated[
        Path | None,
        Parameter(
            help=f"Directory of the unpacked npm package {PACKAGE}. Default: npm downloads it.",
            validator=each(existing_directory),
        ),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write a static page that upscales pictures and video in the browser, with WebGPU or WebAssembly.

    The page is complete: it loads nothing from other servers, and sends nothing. Serve it with any web server, for
    example `python -m http.server -d site`. When it is opened it computes a test tile and compares it with ONNX
    Runtime's result; it says which provider runs, and why if that is not WebGPU. Takes artifacts in fp32 and fp16 of
    any input size.

    Parameters
    ----------
    artifact
        ONNX artifact (.onnx or .json).
    """
    from toolkit.deployment.web.site import write_site

    with progress_bar() as progress:
        site = write_site(artifact, output, onnxruntime_web, progress, overwrite=overwrite)
    if json:
        print_documents([site])
    console = err if json else out
    console.print(styled("[bold]{}[/]: {} files, {:.1f} MB", site.page, site.files, site.size / 1e6), soft_wrap=True)
    for note in site.notes:
        console.print(styled("[yellow]note:[/] {}", note), soft_wrap=True)
    serve = shell(["python", "-m", "http.server", "-d", site.page.parent])
    console.print(styled("serve it: {}", serve), soft_wrap=True)
