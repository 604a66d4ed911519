"""README and docs: links lead somewhere, commands have the options that pages show, figures are those of the code."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image

import toolkit
from toolkit.demonstration.demo import SCALE, picture
from toolkit.images.resizing import downscaled
from toolkit.quality.data import bicubic
from toolkit.quality.measurement import measure

Command = Callable[..., CompletedProcess[str]]

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "toolkit/network/weights/README.md"])
_COMMAND = re.compile(r"^\$? *toolkit ([a-z-]+)(.*)$", re.MULTILINE)


def shown() -> dict[str, set[str]]:
    """The options that pages show, by command."""
    found: dict[str, set[str]] = {}
    for page in PAGES:
        for code in re.findall(r"^(?: {4}|\$ )(toolkit .*)$|`(toolkit [^`]*)`", page.read_text(), re.MULTILINE):
            for command, rest in _COMMAND.findall("".join(code).partition("#")[0]):
                found.setdefault(command, set()).update(re.findall(r"(?<!\S)--?[a-z][a-z0-9-]*", rest))
    return found


def anchors(page: Path) -> set[str]:
    """The anchors that headings get: lower case, without punctuation, hyphens between words."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)\s#]*)#?([^)\s]*)\)", page.read_text()):
        if "://" not in target:
            found = page.parent / target if target else page
            assert found.exists(), target
            assert not anchor or anchor in anchors(found), f"{target}#{anchor}"


def test_pages_show_most_commands() -> None:
    assert {"upscale", "export", "verify-fusion", "profile", "adopt", "demo", "rank"} <= set(shown())


@pytest.mark.parametrize(("command", "options"), sorted(shown().items()))
def test_options_that_are_shown_exist(command: str, options: set[str], toolkit_command: Command) -> None:
    helped = toolkit_command(command, "--help")
    assert helped.returncode == 0, helped.stderr
    words = set(re.findall(r"--?[a-z][a-z0-9-]*", helped.stdout))
    assert options <= words


def test_the_figures_of_the_picture_are_those_of_the_weights() -> None:
    original = picture()
    low = downscaled(original, SCALE)
    size = original.shape[1], original.shape[0]
    with toolkit.Upscaler(scale=SCALE, runtime="ort-cpu") as upscale:
        results = (
            bicubic(low, SCALE),
            np.asarray(Image.fromarray(low).resize(size, Image.Resampling.LANCZOS)),
            upscale(low),
        )
    figures = [f"{measure(result, original, SCALE).metrics.psnr_y:.2f}" for result in results]
    text = " ".join((ROOT / "README.md").read_text().split())
    expected = "Left: bicubic, {} dB (PSNR-Y). Right: RT4KSR with the weights that come along, {} dB (Lanczos: {})."
    by_bicubic, by_lanczos, by_network = figures
    assert expected.format(by_bicubic, by_network, by_lanczos) in text
