"""What a profile recommends, on reports whose right answer is known."""

from __future__ import annotations

import msgspec
import pytest
from profile_reports import cell, report

from toolkit.precisions import Precision
from toolkit.profiling.reporting.conclusion import Conclusion, conclusions
from toolkit.profiling.reporting.markdown import markdown
from toolkit.profiling.reporting.page import page
from toolkit.profiling.reporting.report import CellReport
from toolkit.profiling.reporting.side_by_side import TitledReport
from toolkit.quality.budget import BUDGETS
from toolkit.quoting import markdown as quoted


def lossy(runtime: str, median: float, precision: Precision, spent: float | None) -> CellReport:
    return msgspec.structs.replace(cell(runtime, median, precision=precision), spent=spent)


def only(*cells: CellReport) -> Conclusion:
    (found,) = conclusions(report(*cells))
    return found


def test_the_fastest_within_the_budget_is_recommended_and_compared_in_its_precision() -> None:
    found = only(
        cell("native", 0.1),
        cell("openvino", 0.2),
        lossy("native", 0.045, "bf16", 0.004),
        lossy("openvino", 0.09, "bf16", 0.004),
    )
    assert (found.best.name, found.network) == ("native bf16", "rt4ksr_x2")
    assert found.rival is not None
    assert found.rival.name == "openvino bf16"
    assert found.faster == ()
    assert "which loses 0.4% of the gain over bicubic" in found.headline
    assert "2.0" in found.headline.partition(" times as fast as openvino bf16")[0]


def test_faster_ones_that_lose_too_much_or_an_unknown_share_are_named_with_the_reason() -> None:
    over = BUDGETS["int8"].mean + 2
    found = only(cell("native", 0.1), lossy("native", 0.03, "int8", over), lossy("native", 0.05, "bf16", None))
    assert found.best.name == "native fp32"
    assert [item.name for item in found.faster] == ["native int8", "native bf16"]
    _, first, second = found.remarks
    assert f"loses {over:.0%} of the gain" in first
    assert "its loss of quality is not known" in second


def test_medians_that_cannot_be_told_apart_are_not_called_faster() -> None:
    found = only(cell("native", 0.1, shake=0.2), cell("openvino", 0.101, shake=0.2, seed=1))
    assert "within the noise" in found.headline


@pytest.mark.parametrize(
    ("median", "text"),
    [
        (0.1, "30 fps missed"),
        (0.025, "30 fps met, 60 fps missed"),
        (0.01, "30 fps met, 60 fps met"),
    ],
)
def test_frame_rates_are_judged_by_late_frames(median: float, text: str) -> None:
    assert text in only(cell("native", median)).headline


def test_workloads_and_networks_are_judged_apart_and_unmeasured_ones_not_at_all() -> None:
    other = msgspec.structs.replace(cell("native", 0.3), artifact="span_x2_fp32")
    absent = msgspec.structs.replace(cell("ort-cpu", 0.2, workload="720p-4k"), statistics=None)
    found = conclusions(report(cell("native", 0.1), other, absent))
    assert [(item.workload, item.network) for item in found] == [("1080p-4k", "rt4ksr_x2"), ("1080p-4k", "span_x2")]
    assert conclusions(report(lossy("native", 0.03, "int8", None))) == ()


@pytest.mark.parametrize(
    ("artifact", "is_engine", "network"),
    [
        ("a.v2_fp32", False, "a.v2"),
        ("a.v3_fp32", False, "a.v3"),
        ("a_fp32_op23_fp32", False, "a_fp32_op23"),
        ("rt4ksr_x2_fp32_uint8_nhwc", False, "rt4ksr_x2_uint8_nhwc"),
        ("a.v2_fp32.openvino.engine", True, "a.v2"),
    ],
)
def test_networks_have_the_name_of_their_artifact_without_its_precision(
    artifact: str, is_engine: bool, network: str
) -> None:
    assert only(msgspec.structs.replace(cell("native", 0.1), artifact=artifact, is_engine=is_engine)).network == network


def test_pages_begin_with_it() -> None:
    titled = [TitledReport("a", report(cell("native", 0.1), cell("openvino", 0.2)))]
    headline = only(*titled[0].report.cells).headline
    assert page(titled).index(headline) < page(titled).index("<h2>")
    assert markdown(titled).startswith(f"**{quoted(headline)}**")
