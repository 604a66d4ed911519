"""The page of an evaluation, from reports made by hand."""

from pathlib import Path
from typing import Any

import numpy as np

from toolkit.checks import Limits, Spent, Verdict
from toolkit.quality.measurement import Metrics, mean_of
from toolkit.quality.page import Pictures, _difference, _error_map
from toolkit.quality.report import ImageReport, NetworkReport, QualityReport, SubjectReport


def measured(lost: tuple[float, ...] = (0.0, 0.0), **fields: Any) -> SubjectReport:
    """A subject on two images, with these losses in dB against 32 dB."""
    images = tuple(
        ImageReport(
            "set", f"{number}.png", 64, 48, Metrics(32 - loss, 30, 0.9, 0.8), Metrics(30, 28, 0.8, 0.7), (2, 2), 1.5
        )
        for number, loss in enumerate(lost)
    )
    settings: dict[str, Any] = {"runtime": "ort-cpu", "precision": "fp32", "executed": {}, "reference": True}
    mean = mean_of([image.metrics for image in images])
    return SubjectReport(name="net", mean=mean, images=images, **{**settings, **fields})


def test_the_page_answers_first(tmp_path: Path) -> None:
    verdict = Verdict.of("ort-cpu", "set", 2, Spent(0.25, 0.5, 1.5), Limits(0.1, 0.3, 2.0))
    lowered = measured(
        (0.0, 1.0), precision="int8", reference=False, spent=0.25, worst_image_spent=0.5, verdict=verdict
    )
    free = measured((0.1, 0.1), precision="bf16", reference=False, spent=0.05, worst_image_spent=0.05)
    network = NetworkReport("net", 2, 2, Metrics(30, 28, 0.8, 0.7), 2.0, (measured(), lowered, free))
    Pictures().write(tmp_path / "a.html", QualityReport("matlab bicubic", (network,)))
    text = (tmp_path / "a.html").read_text()
    headline = (
        "net is 2.00 dB (PSNR-Y) better than bicubic interpolation; int8 on ort-cpu loses 25.0% of that, more than its "
        "budget; bf16 on ort-cpu loses 5.0% of that."
    )
    assert text.index(headline) < text.index("<table")
    assert "class='marked'>over budget<" in text
    assert "mean 0.500 dB, worst 1.000 dB" in text
    assert text.count('<circle class="c0') == 2, "one for each image"
    useless = NetworkReport("net", 2, 2, Metrics(33, 28, 0.8, 0.7), -1.0, (measured(), lowered))
    Pictures().write(tmp_path / "b.html", QualityReport("matlab bicubic", (useless,)))
    text = (tmp_path / "b.html").read_text()
    assert "net is no better than bicubic interpolation (-1.00 dB PSNR-Y)" in text
    assert "<svg" not in text


def test_maps_of_errors_are_amplified_until_most_of_them_can_be_seen() -> None:
    original = np.zeros((10, 10, 3), np.uint8)
    result = original.copy()
    result[:5] = 7
    result[9, 9] = 255  # which does not leave the others black
    error, gain = _error_map(result, original)
    assert (gain, error[0, 0, 0], error[9, 9, 0], error[8, 0, 0]) == (32, 224, 255, 0)
    result[:5] = 1
    difference, times = _difference(result, original)
    assert (times, difference[0, 0, 0], difference[8, 0, 0]) == (32, 160, 128)
