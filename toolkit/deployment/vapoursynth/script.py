"""Generates VapourSynth scripts that upscale a video: with the toolkit's plugin, or with those of vs-mlrt."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from string import Template

from toolkit.artifact import Artifact
from toolkit.clients import measured_clients
from toolkit.errors import InputError, suggestion
from toolkit.port import Port
from toolkit.quoting import python_docstring, python_literal, shell
from toolkit.runtimes.engine import Engine

NATIVE = "native"
_HD = 720
"""Height and width from which players take BT.709 for the matrix of video that does not say."""


@dataclass(frozen=True)
class Plugin:
    """A plugin of VapourSynth that runs networks.

    Attributes:
        namespace: of its functions.
        title: what it is, for people.
        call: of its function, in Python, on `clip` and the path NETWORK.
        client: name in `toolkit.clients` of what it runs artifacts with; empty: it takes engines.
        file: of an engine bundle that it loads; empty: the bundle.
    """

    namespace: str
    title: str
    call: str
    client: str = ""
    file: str = ""


_FLOAT32 = 'config=lambda: {"INFERENCE_PRECISION_HINT": "f32"}'
"""OpenVINO computes float32 operators in bf16 by default on CPUs that have instructions for it."""

ARTIFACT_PLUGINS = {
    "ort-cpu": Plugin(
        "ort",
        "vs-mlrt (vsort, CPU)",
        'core.ort.Model([clip], network_path=NETWORK, provider="CPU")',
        "onnxruntime, CPU",
    ),
    "ort-cuda": Plugin("ort", "vs-mlrt (vsort, CUDA)", 'core.ort.Model([clip], network_path=NETWORK, provider="CUDA")'),
    "openvino": Plugin(
        "ov", "vs-mlrt (vsov)", f"core.ov.Model([clip], network_path=NETWORK, {_FLOAT32})", "OpenVINO, f32 hint"
    ),
}
"""By the runtime that they contain."""

ENGINE_PLUGINS = {
    NATIVE: Plugin("rt4ksr", "the toolkit's plugin", ""),
    "tensorrt": Plugin("trt", "vs-mlrt (vstrt)", "core.trt.Model([clip], engine_path=NETWORK)", file="plan"),
    "tensorrt-rtx": Plugin(
        "trt_rtx", "vs-mlrt (vstrt_rtx)", "core.trt_rtx.Model([clip], engine_path=NETWORK)", file="plan"
    ),
}
"""By the runtime whose engines they load."""

_MPV_SYNTAX = "%,:=\"'[]@!"
"""Characters that mean something in the value of `--vf`."""

_SCRIPT = Template('''\
"""Upscales video x$scale with $name, by $title.

    $mpv
    vspipe -c y4m --arg source=film.mkv $file - | ffmpeg -i - large.mkv
"""

import vapoursynth as vs

core = vs.core

NETWORK = $network
PLUGIN = $plugin  # library to load; empty: VapourSynth has loaded it
SCALE = $scale$constants

# Set by whoever runs the script: mpv gives a clip, vspipe --arg the name of a file and, if it is not that of the file,
# the number of its matrix in ITU-T H.273.
PLAYED, FILE, MATRIX = (globals().get(name) for name in ("video_in", "source", "matrix"))


def opened() -> vs.VideoNode:
    """The file, by the first plugin for that which is there."""
    if FILE is None:
        raise vs.Error("name a file: vspipe --arg source=FILE")
    readers = {"bs": "VideoSource", "lsmas": "LWLibavSource", "ffms2": "Source"}
    for namespace, function in readers.items():
        if hasattr(core, namespace):
            return getattr(getattr(core, namespace), function)(FILE)
    raise vs.Error(f"there is no plugin that reads files: install one of {', '.join(readers)}")


def property_of(clip: vs.VideoNode, name: str, otherwise: int) -> int:
    """Of the first frame of a file. mpv gives no frames before it plays."""
    return otherwise if PLAYED is not None else clip.get_frame(0).props.get(name, otherwise)


def matrix_of(clip: vs.VideoNode) -> int:
    """MATRIX, or that of the clip, or what players assume: BT.709 for HD, else BT.601."""
    found = property_of(clip, "_Matrix", 2) if MATRIX is None else int(MATRIX)
    assumed = 1 if min(clip.width, clip.height) >= $hd else 6
    return assumed if found == 2 else found


$functions
if PLUGIN and not hasattr(core, $namespace):
    core.std.LoadPlugin(PLUGIN)
upscaled(opened() if PLAYED is None else PLAYED).set_output()
''')

_NATIVE = '''\
def upscaled(clip: vs.VideoNode) -> vs.VideoNode:
    """The plugin converts YUV to RGB and back, and extends odd sizes."""
    if clip.format.color_family == vs.YUV:
        return core.rt4ksr.Upscale(clip, engine=NETWORK, matrix=matrix_of(clip))
    return core.rt4ksr.Upscale(clip, engine=NETWORK)

'''

_MLRT = Template('''\
def extended(clip: vs.VideoNode, width: int, height: int) -> vs.VideoNode:
    """Extended at right and bottom by reflection."""
    right, below = width - clip.width, height - clip.height
    if right >= clip.width or below >= clip.height:
        raise vs.Error(f"{clip.width}x{clip.height} is too small for this network")
    if right:
        edge = clip.std.Crop(left=clip.width - 1 - right, right=1).std.FlipHorizontal()
        clip = core.std.StackHorizontal([clip, edge])
    if below:
        edge = clip.std.Crop(top=clip.height - 1 - below, bottom=1).std.FlipVertical()
        clip = core.std.StackVertical([clip, edge])
    return clip


def padded(side: int) -> int:
    """The smallest side that the network takes and that contains `side` pixels."""
    return -(-max(side, SMALLEST) // MULTIPLE) * MULTIPLE


def network(clip: vs.VideoNode) -> vs.VideoNode:
    """RGBS in 0..1, of any size, to RGBS in 0..1."""
    width, height = clip.width, clip.height
    clip = extended(clip, padded(width), padded(height))
$before    clip = $call
$after    return clip.std.CropAbs(SCALE * width, SCALE * height)


def upscaled(clip: vs.VideoNode) -> vs.VideoNode:
    """In the format of the clip."""
    given = clip.format
    if given.color_family == vs.RGB:
        return network(clip.resize.Point(format=vs.RGBS)).resize.Point(format=given.id)
    coding = {"matrix": matrix_of(clip), "chromaloc": property_of(clip, "_ChromaLocation", 0)}
    # 16 bits limit colours to what RGB can show.
    rgb = clip.resize.Bicubic(format=vs.RGB48, matrix_in=coding["matrix"]).resize.Point(format=vs.RGBS)
    large = network(rgb)
    limited, full = (large.resize.Bicubic(format=given.id, range_s=name, **coding) for name in ("limited", "full"))

    def of_range(n: int, f: vs.VideoFrame) -> vs.VideoNode:
        return full if f.props.get("_Range", f.props.get("_ColorRange", 1) == 0) == 1 else limited

    return core.std.FrameEval(limited, of_range, prop_src=[clip], clip_src=[limited, full])

''')


def script(given: Artifact | Engine, file: Path, runtime: str | None = None, plugin: Path | None = None) -> str:
    """A VapourSynth script, for mpv and for vspipe.

    Args:
        given: an artifact, for vs-mlrt; or an engine of native, tensorrt or tensorrt-rtx.
        file: name of the script, for its text.
        runtime: of an artifact: ort-cpu, ort-cuda or openvino; None: ort-cpu.
        plugin: library to load; None: VapourSynth loads it by itself.

    Raises:
        InputError: no plugin runs it.
    """
    chosen = _plugin(given, runtime)
    path = given.path / chosen.file if isinstance(given, Engine) and chosen.file else given.path
    contract, native = given.contract, chosen is ENGINE_PLUGINS[NATIVE]
    sizes = f"\nMULTIPLE, SMALLEST = {contract.sizes.multiple}, {contract.sizes.smallest}  # of height and width"
    return _SCRIPT.substitute(
        scale=contract.scale,
        name=python_docstring(given.manifest.name),
        title=chosen.title,
        mpv=python_docstring(mpv_command(file)),
        file=python_docstring(shell([file])),
        network=python_literal(str(path.resolve())),
        plugin=python_literal("" if plugin is None else str(plugin.resolve())),
        constants="" if native else sizes,
        hd=_HD,
        namespace=python_literal(chosen.namespace),
        functions=_NATIVE if native else _mlrt(chosen, contract.input, contract.output),
    )


def mpv_command(file: Path) -> str:
    """The command that plays a film through a script. mpv splits values at some characters unless their length is
    given, in bytes."""
    value = str(file)
    if not set(value).isdisjoint(_MPV_SYNTAX):
        value = f"%{len(os.fsencode(value))}%{value}"
    return shell(["mpv", f"--vf=vapoursynth={value}", "film.mkv"])


def _plugin(given: Artifact | Engine, runtime: str | None) -> Plugin:
    """The plugin that runs it."""
    if isinstance(given, Engine):
        if runtime is not None:
            raise InputError(f"{given.path} is an engine of {given.info.runtime}", "Leave out --runtime.")
        if given.info.runtime not in ENGINE_PLUGINS:
            raise InputError(
                f"no plugin of VapourSynth loads engines of {given.info.runtime}",
                f"Give its artifact, or an engine of {', '.join(ENGINE_PLUGINS)}.",
            )
        chosen = ENGINE_PLUGINS[given.info.runtime]
    else:
        name = runtime or "ort-cpu"
        if name not in ARTIFACT_PLUGINS:
            raise InputError(f"vs-mlrt does not run artifacts with {name}", suggestion(name, ARTIFACT_PLUGINS))
        chosen, precision = ARTIFACT_PLUGINS[name], given.manifest.precision
        if chosen.client and not measured_clients()[precision][chosen.client]:
            raise InputError(f"{name} does not run {precision}", "See docs/clients.md for what does.")
    if chosen is not ENGINE_PLUGINS[NATIVE]:
        _check_ports(given)
    return chosen


def _check_ports(given: Artifact | Engine) -> None:
    """vs-mlrt takes planes of floating point."""
    for port in (given.contract.input, given.contract.output):
        if port.layout != "NCHW" or port.dtype == "uint8" or port.channels != 3:
            raise InputError(
                f"vs-mlrt does not run {given.path}: its {port.name} is {port}, not three planes of floating point",
                "Export the network without --io uint8, or build an engine for the runtime native.",
            )


def _mlrt(plugin: Plugin, given: Port, returned: Port) -> str:
    return _MLRT.substitute(
        before=_before(given),
        call=plugin.call,
        after=_after(returned),
    )


def _before(port: Port) -> str:
    """Lines that turn RGBS in 0..1 into what the network takes."""
    scaled = (port.value_range[0], port.span) != (0, 1)
    return _joined(
        [
            *([f'clip = clip.std.Expr("x {port.span!r} * {port.value_range[0]!r} +")'] if scaled else []),
            *_swapped(port),
            *(["clip = clip.resize.Point(format=vs.RGBH)"] if port.dtype == "float16" else []),
        ]
    )


def _after(port: Port) -> str:
    """Lines that turn what the network returns into RGBS in 0..1."""
    lines = ["clip = clip.resize.Point(format=vs.RGBS)"] if port.dtype == "float16" else []
    low, span = port.value_range[0], port.span
    scaled = "x" if (low, span) == (0, 1) else f"x {low!r} - {span!r} /"
    return _joined([*lines, *_swapped(port), f'clip = clip.std.Expr("{scaled} 0 max 1 min")'])


def _swapped(port: Port) -> list[str]:
    return ["clip = core.std.ShufflePlanes(clip, [2, 1, 0], vs.RGB)"] if port.order == "BGR" else []


def _joined(lines: list[str]) -> str:
    return "".join(f"    {line}\n" for line in lines)
