"""RT4KSR deployment toolkit: from a trained checkpoint to proven, measured inference.

    import toolkit

    checkpoint = toolkit.load_checkpoint("rt4ksr_x2.pth")
    artifact = toolkit.export(checkpoint)
    assert toolkit.verify_fusion(checkpoint, artifact).passed
    print(toolkit.profile([artifact]).to_csv())

Names are imported on first use: `import toolkit` itself loads neither torch nor onnx.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolkit.ablation.ablation import AblateOptions, ablate
    from toolkit.ablation.report import AblationReport, write_report
    from toolkit.artifact import Artifact, Manifest, Precision, find_artifacts
    from toolkit.checks import Check, Limits, Verdict
    from toolkit.diagnosis import Diagnosis, diagnose
    from toolkit.errors import (
        ArtifactError,
        CheckFailed,
        CheckpointError,
        Inconclusive,
        InputError,
        OutputExists,
        ToolkitError,
        Unavailable,
        UnexpectedError,
    )
    from toolkit.graph.analysis.nodes import NodeFacts, list_nodes
    from toolkit.graph.export import ExportOptions, export
    from toolkit.graph.precision.convert import ConvertOptions
    from toolkit.graph.source import is_made_from, source_checkpoint
    from toolkit.media.options import UpscaleOptions
    from toolkit.media.pictures.output import PictureFormat
    from toolkit.media.preview import preview
    from toolkit.media.report import FileReport, LeftOut, UpscaleReport
    from toolkit.media.target import Target
    from toolkit.media.upscale import upscale
    from toolkit.media.videos.encoding import VideoFormat
    from toolkit.network.architectures.rt4ksr.config import NetworkConfig
    from toolkit.network.architectures.rt4ksr.presets import PRESETS, STEPS
    from toolkit.network.bundled import bundled_checkpoint
    from toolkit.network.checkpoint import Checkpoint, load_checkpoint, untrained_checkpoint
    from toolkit.network.complexity import Complexity, complexity
    from toolkit.profiling.gate import CellVerdict, GateReport, gate
    from toolkit.profiling.measuring.messages import Boundary
    from toolkit.profiling.measuring.statistics import Interval, Statistics
    from toolkit.profiling.profile import profile
    from toolkit.profiling.reporting.markdown import markdown
    from toolkit.profiling.reporting.pages import write_pages
    from toolkit.profiling.reporting.report import CellReport, ProfileReport, read_report, report_schema
    from toolkit.profiling.reporting.side_by_side import TitledReport, read_titled, side_by_side
    from toolkit.profiling.script import profile_script
    from toolkit.quality.budget import read_budgets
    from toolkit.quality.conversion import convert
    from toolkit.quality.curve import plot_curve
    from toolkit.quality.data import Degradation
    from toolkit.quality.evaluation import EvaluateOptions, evaluate
    from toolkit.quality.measurement import Metrics
    from toolkit.quality.report import QualityReport, SubjectReport
    from toolkit.quality.subjects import Subject
    from toolkit.quality.tuning import Tuned, tune
    from toolkit.quality.verdict import demand_budget, record_verdicts
    from toolkit.runtimes.building import Built
    from toolkit.runtimes.engine import Engine, EngineInfo
    from toolkit.runtimes.options import BuildOptions, SessionOptions
    from toolkit.runtimes.protocol import Session
    from toolkit.runtimes.registry import (
        RUNTIMES,
        EngineState,
        build,
        build_script,
        default_runtime,
        list_engines,
        load_engine,
    )
    from toolkit.runtimes.subject import load_session
    from toolkit.system.atomic import check_outputs, numbered
    from toolkit.system.progress import Progress, ProgressCallback
    from toolkit.training.config import TrainingConfig, read_config
    from toolkit.training.loop import TrainingResult, train
    from toolkit.verification.comparison import ComparisonReport, compare
    from toolkit.verification.contestants import Contestant, parse_contestant
    from toolkit.verification.fusion import Comparison, FusionReport, verify_fusion
    from toolkit.verification.inputs import real_images
    from toolkit.verification.layers import LAYER_BOUND, LayerReport, compare_layers, plot_layers
    from toolkit.verification.polygraphy import polygraphy_script
    from toolkit.workloads import WORKLOADS, Shape, Workload, parse_shape, parse_workload

_HOMES = {
    "toolkit.artifact": ("Artifact", "Manifest", "Precision", "find_artifacts"),
    "toolkit.system.atomic": ("check_outputs", "numbered"),
    "toolkit.system.progress": ("Progress", "ProgressCallback"),
    "toolkit.checks": ("Check", "Limits", "Verdict"),
    "toolkit.diagnosis": ("Diagnosis", "diagnose"),
    "toolkit.errors": (
        "ArtifactError",
        "CheckFailed",
        "CheckpointError",
        "Inconclusive",
        "InputError",
        "OutputExists",
        "ToolkitError",
        "Unavailable",
        "UnexpectedError",
    ),
    "toolkit.graph.export": ("ExportOptions", "export"),
    "toolkit.graph.analysis.nodes": ("NodeFacts", "list_nodes"),
    "toolkit.graph.precision.convert": ("ConvertOptions",),
    "toolkit.quality.conversion": ("convert",),
    "toolkit.graph.source": ("is_made_from", "source_checkpoint"),
    "toolkit.media.videos.encoding": ("VideoFormat",),
    "toolkit.media.options": ("UpscaleOptions",),
    "toolkit.media.pictures.output": ("PictureFormat",),
    "toolkit.media.preview": ("preview",),
    "toolkit.media.report": ("FileReport", "LeftOut", "UpscaleReport"),
    "toolkit.media.target": ("Target",),
    "toolkit.media.upscale": ("upscale",),
    "toolkit.network.checkpoint": ("Checkpoint", "load_checkpoint", "untrained_checkpoint"),
    "toolkit.network.complexity": ("Complexity", "complexity"),
    "toolkit.network.architectures.rt4ksr.config": ("NetworkConfig",),
    "toolkit.network.architectures.rt4ksr.presets": ("PRESETS", "STEPS"),
    "toolkit.profiling.profile": ("profile",),
    "toolkit.profiling.gate": ("CellVerdict", "GateReport", "gate"),
    "toolkit.profiling.reporting.markdown": ("markdown",),
    "toolkit.profiling.measuring.messages": ("Boundary",),
    "toolkit.profiling.reporting.pages": ("write_pages",),
    "toolkit.profiling.script": ("profile_script",),
    "toolkit.profiling.reporting.side_by_side": ("TitledReport", "read_titled", "side_by_side"),
    "toolkit.profiling.reporting.report": ("CellReport", "ProfileReport", "read_report", "report_schema"),
    "toolkit.profiling.measuring.statistics": ("Interval", "Statistics"),
    "toolkit.quality.budget": ("read_budgets",),
    "toolkit.quality.data": ("Degradation",),
    "toolkit.quality.evaluation": ("EvaluateOptions", "evaluate"),
    "toolkit.quality.measurement": ("Metrics",),
    "toolkit.quality.report": ("QualityReport", "SubjectReport"),
    "toolkit.quality.subjects": ("Subject",),
    "toolkit.runtimes.building": ("Built",),
    "toolkit.runtimes.engine": ("Engine", "EngineInfo"),
    "toolkit.runtimes.options": ("BuildOptions", "SessionOptions"),
    "toolkit.runtimes.protocol": ("Session",),
    "toolkit.runtimes.registry": (
        "RUNTIMES",
        "EngineState",
        "build",
        "build_script",
        "default_runtime",
        "list_engines",
        "load_engine",
    ),
    "toolkit.runtimes.subject": ("load_session",),
    "toolkit.training.config": ("TrainingConfig", "read_config"),
    "toolkit.training.loop": ("TrainingResult", "train"),
    "toolkit.verification.fusion": ("Comparison", "FusionReport", "verify_fusion"),
    "toolkit.verification.inputs": ("real_images",),
    "toolkit.workloads": ("WORKLOADS", "Shape", "Workload", "parse_shape", "parse_workload"),
    "toolkit.verification.comparison": (
        "ComparisonReport",
        "compare",
    ),
    "toolkit.verification.contestants": (
        "Contestant",
        "parse_contestant",
    ),
    "toolkit.verification.layers": (
        "LAYER_BOUND",
        "LayerReport",
        "compare_layers",
        "plot_layers",
    ),
    "toolkit.quality.tuning": (
        "Tuned",
        "tune",
    ),
    "toolkit.quality.curve": ("plot_curve",),
    "toolkit.quality.verdict": (
        "demand_budget",
        "record_verdicts",
    ),
    "toolkit.ablation.ablation": (
        "AblateOptions",
        "ablate",
    ),
    "toolkit.ablation.report": (
        "AblationReport",
        "write_report",
    ),
    "toolkit.network.bundled": ("bundled_checkpoint",),
    "toolkit.verification.polygraphy": ("polygraphy_script",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "LAYER_BOUND",
    "PRESETS",
    "RUNTIMES",
    "STEPS",
    "WORKLOADS",
    "AblateOptions",
    "AblationReport",
    "Artifact",
    "ArtifactError",
    "Boundary",
    "BuildOptions",
    "Built",
    "CellReport",
    "CellVerdict",
    "Check",
    "CheckFailed",
    "Checkpoint",
    "CheckpointError",
    "Comparison",
    "ComparisonReport",
    "Complexity",
    "Contestant",
    "ConvertOptions",
    "Degradation",
    "Diagnosis",
    "Engine",
    "EngineInfo",
    "EngineState",
    "EvaluateOptions",
    "ExportOptions",
    "FileReport",
    "FusionReport",
    "GateReport",
    "Inconclusive",
    "InputError",
    "Interval",
    "LayerReport",
    "LeftOut",
    "Limits",
    "Manifest",
    "Metrics",
    "NetworkConfig",
    "NodeFacts",
    "OutputExists",
    "PictureFormat",
    "Precision",
    "ProfileReport",
    "Progress",
    "ProgressCallback",
    "QualityReport",
    "Session",
    "SessionOptions",
    "Shape",
    "Statistics",
    "Subject",
    "SubjectReport",
    "Target",
    "TitledReport",
    "ToolkitError",
    "TrainingConfig",
    "TrainingResult",
    "Tuned",
    "Unavailable",
    "UnexpectedError",
    "UpscaleOptions",
    "UpscaleReport",
    "Verdict",
    "VideoFormat",
    "Workload",
    "__version__",
    "ablate",
    "build",
    "build_script",
    "bundled_checkpoint",
    "check_outputs",
    "compare",
    "compare_layers",
    "complexity",
    "convert",
    "default_runtime",
    "demand_budget",
    "diagnose",
    "evaluate",
    "export",
    "find_artifacts",
    "gate",
    "is_made_from",
    "list_engines",
    "list_nodes",
    "load_checkpoint",
    "load_engine",
    "load_session",
    "markdown",
    "numbered",
    "parse_contestant",
    "parse_shape",
    "parse_workload",
    "plot_curve",
    "plot_layers",
    "polygraphy_script",
    "preview",
    "profile",
    "profile_script",
    "read_budgets",
    "read_config",
    "read_report",
    "read_titled",
    "real_images",
    "record_verdicts",
    "report_schema",
    "side_by_side",
    "source_checkpoint",
    "train",
    "tune",
    "untrained_checkpoint",
    "upscale",
    "verify_fusion",
    "write_pages",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("rt4ksr-toolkit")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
