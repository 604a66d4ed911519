"""`evaluate` against the published figures, and what it makes of other input."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from media.nearest import lowering_artifact
from PIL import Image
from samples import DATA, checkpoint, needs_data, released

from toolkit.artifact import Artifact
from toolkit.checks import Limits, Spent
from toolkit.cli.evaluate import _exit
from toolkit.errors import CheckFailed, InputError
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.precision.convert import convert
from toolkit.graph.precision.options import ConvertOptions
from toolkit.images import read_rgb
from toolkit.network.checkpoint import load_checkpoint
from toolkit.quality import evaluation
from toolkit.quality.budget import BUDGETS, read_budgets
from toolkit.quality.data import Degradation, find_items, load_pair
from toolkit.quality.evaluation import EvaluateOptions, evaluate
from toolkit.quality.measurement import BEST_PSNR
from toolkit.quality.verdict import demand_budget
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.registry import build
from toolkit.runtimes.subject import Subject
from toolkit.workloads import Shape

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.slow
@needs_data
@pytest.mark.parametrize("runtime", ["torch", "ort-cpu", "openvino"])
def test_the_published_figures(runtime: str, released_artifact: Artifact) -> None:
    """Within 0.01 dB and 0.0005 SSIM, as the reference file asks."""
    scale = released_artifact.manifest.network.scale
    published = json.loads((DATA / "reference.json").read_text())[f"x{scale}"]
    sets = [DATA / "images" / name for name in ("Set5", "Set14")]
    report = evaluate([Subject(released_artifact, runtime)], sets)
    for name, (ours, bicubic) in report.networks[0].subjects[0].sets().items():
        expected = published[name]
        assert ours.psnr_y == pytest.approx(expected["psnr_y"], abs=0.01)
        assert ours.psnr_rgb == pytest.approx(expected["psnr_rgb"], abs=0.01)
        assert ours.ssim_y == pytest.approx(expected["ssim_y"], abs=0.0005)
        assert bicubic.psnr_y == pytest.approx(expected["bicubic_psnr_y"], abs=0.01)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Originals of several kinds: odd size, grey, with alpha, in a subdirectory."""
    directory = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for name, mode, size in (("a.png", "RGB", (80, 61)), ("b.png", "L", (64, 48)), ("deep/c.png", "RGBA", (50, 70))):
        channels = len(mode)
        smooth = random.integers(0, 256, (size[1] // 4 + 1, size[0] // 4 + 1, channels), np.uint8)
        (directory / name).parent.mkdir(exist_ok=True)
        image = Image.fromarray(smooth.squeeze(), mode).resize(size, Image.Resampling.BICUBIC)
        image.save(directory / name)
    return directory


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    directory = tmp_path_factory.mktemp("artifacts")
    fp32 = export(checkpoint(), directory=directory)
    return {
        "fp32": fp32,
        "fp16": convert(fp32, "fp16"),
        "int8": convert(fp32, "int8"),
        "uint8": export(checkpoint(), ExportOptions(uint8="NHWC"), directory),
    }


def test_every_image_counts(artifacts: dict[str, Artifact], photos: Path) -> None:
    subjects = [Subject(artifacts[name], "ort-cpu") for name in ("int8", "uint8", "fp16", "fp32")]
    (network,) = evaluate(subjects, [photos]).networks
    reference, *others = network.subjects
    assert (reference.reference, reference.precision, reference.name) == (
        True,
        "fp32",
        artifacts["uint8"].manifest.name,
    )
    assert [image.name for image in reference.images] == ["a.png", "b.png", "deep/c.png"]
    assert [(image.width, image.height) for image in reference.images] == [(80, 60), (64, 48), (48, 68)]
    assert reference.mean.psnr_y == pytest.approx(np.mean([image.metrics.psnr_y for image in reference.images]))
    assert network.gain == pytest.approx(reference.mean.psnr_y - network.bicubic.psnr_y)
    by_name = {subject.name: subject for subject in others}
    float_io = by_name[artifacts["fp32"].manifest.name]
    assert max(image.patch_difference for image in float_io.images) < 0.5  # grey levels: roundings only
    int8, fp16 = (max(i.patch_difference for i in by_name[artifacts[n].manifest.name].images) for n in ("int8", "fp16"))
    assert int8 > fp16


def test_without_an_fp32_artifact_the_source_network_is_the_reference(
    artifacts: dict[str, Artifact], photos: Path
) -> None:
    (network,) = evaluate([Subject(artifacts["fp16"], "ort-cpu")], [photos]).networks
    assert [(subject.name, subject.runtime) for subject in network.subjects] == [
        ("source network", "torch"),
        (artifacts["fp16"].manifest.name, "ort-cpu"),
    ]


def test_engines(artifacts: dict[str, Artifact], photos: Path, tmp_path: Path) -> None:
    engine = build(artifacts["fp32"], "ort-cpu", BuildOptions(shape=Shape(32, 32)), tmp_path).engine
    (network,) = evaluate([Subject(engine, "ort-cpu"), Subject(artifacts["fp32"], "openvino")], [photos]).networks
    assert network.subjects[0].name == engine.path.name
    assert max(image.patch_difference for image in network.subjects[1].images) < 0.5


def test_what_does_not_run_is_in_the_report(artifacts: dict[str, Artifact], photos: Path) -> None:
    report = evaluate([Subject(artifacts["fp32"], "ort-cpu"), Subject(artifacts["fp16"], "tensorrt")], [photos])
    (left,) = report.networks[0].not_run
    assert (left.runtime, left.precision) == ("tensorrt", "fp16")
    assert left.reason
    assert not report.complete
    # Of all that lies in a directory, what cannot run here is only told; but a budget is not kept by what did not run.
    _exit(report, demanded=False)
    with pytest.raises(SystemExit) as caught:
        _exit(report, demanded=True)
    assert caught.value.code == 3


def test_a_subject_that_fails_does_not_end_the_others(
    artifacts: dict[str, Artifact], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = evaluation.load

    def load(subject: Subject) -> Any:
        if subject.precision == "fp16":
            raise LookupError("planted")
        return real(subject)

    monkeypatch.setattr(evaluation, "load", load)
    subjects = [Subject(artifacts[name], "ort-cpu") for name in ("fp32", "fp16", "int8")]
    report = evaluate(subjects, [photos])
    (network,) = report.networks
    assert [subject.precision for subject in network.subjects] == ["fp32", "int8"]
    (left,) = network.not_run
    assert (left.reason, left.failed, "in load" in left.traceback) == ("LookupError: planted", True, True)
    with pytest.raises(SystemExit) as caught:
        _exit(report, demanded=False)
    assert caught.value.code == 1
    # A budget that could not be measured is not kept.
    with pytest.raises(CheckFailed, match="could not be measured: LookupError: planted"):
        demand_budget([artifacts["fp32"], artifacts["fp16"]], [photos], EvaluateOptions())


def test_overspending_fails(artifacts: dict[str, Artifact], photos: Path) -> None:
    generous = {name: Limits(1e9, 1e9, 1e9) for name in BUDGETS}
    strict = {name: Limits(1e-9, 1e9, 1e9) for name in BUDGETS}
    subjects = [Subject(artifacts["fp32"], "ort-cpu"), Subject(artifacts["int8"], "ort-cpu")]
    # A random network is worse than bicubic: it has no gain to spend, and nothing to lose it with.
    report = evaluate(subjects, [photos], EvaluateOptions(budgets=generous))
    assert report.networks[0].gain < 0
    assert report.networks[0].subjects[1].spent is None
    assert not report.passed
    assert not evaluate(subjects, [photos], EvaluateOptions(budgets=strict)).passed
    assert evaluate(subjects, [photos]).passed


def test_spent_against_allowed() -> None:
    limits = Limits(0.05, 0.15, 2.0)
    assert limits.kept(Spent(0.02, 0.5, 1.0)) == (True, False, True)
    assert limits.kept(Spent(float("nan"), 1, 9)) == (False, False, False)


def test_json_csv_and_page(artifacts: dict[str, Artifact], photos: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    subjects = [Subject(artifacts["fp32"], "ort-cpu"), Subject(artifacts["int8"], "ort-cpu")]
    report = evaluate(subjects, [photos], EvaluateOptions(page=page, degradation=Degradation("pillow", 90)))
    assert msgspec.json.decode(report.to_json(), type=type(report)) == report
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [row["network"] for row in rows[::3]] == ["bicubic x2", *(one.name for one in report.networks[0].subjects)]
    first = report.networks[0].subjects[0].images[0]
    assert (float(rows[0]["psnr_y"]), float(rows[3]["psnr_y"])) == (first.bicubic.psnr_y, first.metrics.psnr_y)
    text = page.read_text()
    assert "JPEG quality 90" in text
    assert text.count("data:image/png;base64,") == 3 * 5 + 3 * 7  # fp32 itself has no fp32 beside it
    assert text.count("deep/c.png") >= 4  # patches, and tables of all images
    (network,) = report.networks
    assert f"{network.name}</h2>" in text
    assert ("PSNR-Y lost in each image" in text) == (network.gain > 0)
    assert "http" not in text.replace("http-equiv", "")  # complete in itself


# Image sets


def test_pairs_are_found_in_the_usual_places(photos: Path, tmp_path: Path) -> None:
    for name, size in (("HR", (24, 18)), ("LR", (12, 9))):
        (tmp_path / "set" / "x2" / name).mkdir(parents=True)
        Image.new("RGB", size, "red").save(tmp_path / "set" / "x2" / name / "a.png")
    (item,) = find_items([tmp_path / "set"], 2)
    assert (item.group, item.name) == ("set", "a.png")
    pair = load_pair(item, 2, Degradation())
    assert (pair.low.shape, pair.high.shape) == ((8, 12, 3), (16, 24, 3))  # cut to an even size
    with pytest.raises(InputError, match="has no x3/HR"):
        find_items([tmp_path / "set"], 3)
    Image.new("RGB", (30, 30)).save(tmp_path / "set" / "x2" / "HR" / "b.png")
    with pytest.raises(InputError, match="has no counterpart"):
        find_items([tmp_path / "set"], 2)
    Image.new("RGB", (30, 30)).save(tmp_path / "set" / "x2" / "LR" / "b.png")
    with pytest.raises(InputError, match="not a pair for x2"):
        load_pair(find_items([tmp_path / "set"], 2)[1], 2, Degradation())


def test_pairs_are_found_below_and_by_either_name(tmp_path: Path) -> None:
    """`toolkit evaluate --data sets/` must not take low-resolution images for originals."""
    for scale in (2, 3):
        for part, side in (("HR", 36), ("LR", 36 // scale)):
            directory = tmp_path / "sets" / "A" / f"x{scale}" / part
            directory.mkdir(parents=True)
            Image.new("RGB", (side, side)).save(directory / ("0801.png" if part == "HR" else f"0801x{scale}.jpg"))
    (tmp_path / "sets" / "loose").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "sets" / "loose" / "b.tga")
    (tmp_path / "sets" / "loose" / "._b.png").write_bytes(b"what some systems leave beside files")
    found = [(item.group, item.name, item.low is not None) for item in find_items([tmp_path / "sets"], 3)]
    assert found == [("A", "0801.png", True), ("sets", "loose/b.tga", False)]
    assert find_items([tmp_path / "sets", tmp_path / "sets" / "A" / ".."], 3) == find_items([tmp_path / "sets"], 3)
    Image.new("RGB", (12, 12)).save(tmp_path / "sets" / "A" / "x3" / "LR" / "0802x3.png")
    with pytest.raises(InputError, match=r"0802x3\.png has no counterpart"):
        find_items([tmp_path / "sets"], 3)


def test_an_original_that_is_much_larger_is_no_partner(tmp_path: Path) -> None:
    for part, side in (("HR", 36), ("LR", 12)):
        (tmp_path / part).mkdir()
        Image.new("RGB", (side, side)).save(tmp_path / part / "a.png")
    (item,) = find_items([tmp_path], 2)
    with pytest.raises(InputError, match="not a pair for x2"):
        load_pair(item, 2, Degradation())
    assert load_pair(item, 3, Degradation()).low.shape == (12, 12, 3)


def test_a_fixed_size_is_cut_from_the_middle(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (item,) = find_items([tmp_path], 2)
    pair = load_pair(item, 2, Degradation(), Shape(16, 20))
    np.testing.assert_array_equal(pair.high, pixels[9:41, 15:55])
    assert pair.low.shape == (16, 20, 3)
    with pytest.raises(InputError, match="only size that the network supports"):
        load_pair(item, 2, Degradation(), Shape(30, 20))


def test_a_subject_of_one_size_decides_for_all(artifacts: dict[str, Artifact], photos: Path, tmp_path: Path) -> None:
    engine = build(artifacts["fp32"], "openvino", BuildOptions(shape=Shape(20, 24)), tmp_path).engine
    subjects = [Subject(artifacts["fp32"], "ort-cpu"), Subject(engine, "openvino")]
    (network,) = evaluate(subjects, [photos]).networks
    assert network.cut_to == "24x20"
    assert {(image.width, image.height) for one in network.subjects for image in one.images} == {(48, 40)}
    assert network.subjects[1].worst_patch.patch_difference < 0.5


def test_deep_and_odd_images(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64)
    Image.fromarray(ramp.astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(ramp.astype(np.float32)).save(tmp_path / "float.tif")
    Image.new("CMYK", (64, 64), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg", quality=100)
    deep = read_rgb(tmp_path / "deep.png")
    np.testing.assert_array_equal(deep[..., 1], np.rint(ramp.astype(np.uint16) / 257))
    assert np.abs(read_rgb(tmp_path / "cmyk.jpg").astype(int) - (255, 0, 0)).max() < 4
    with pytest.raises(InputError, match="no known range"):
        read_rgb(tmp_path / "float.tif")
    content = (tmp_path / "deep.png").read_bytes()
    (tmp_path / "deep.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"cannot read image .*deep\.png"):
        read_rgb(tmp_path / "deep.png")


def test_huge_photos_are_cropped_to_4k(tmp_path: Path) -> None:
    Image.new("RGB", (4000, 5000)).save(tmp_path / "portrait.png")
    (item,) = find_items([tmp_path], 3)
    pair = load_pair(item, 3, Degradation())
    assert pair.high.shape == (3840, 2160, 3)
    assert pair.low.shape == (1280, 720, 3)


def test_tiny_images_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (3, 30)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="too small for x2"):
        load_pair(find_items([tmp_path], 2)[0], 2, Degradation())


def test_what_is_too_small_is_named(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    Image.new("RGB", (14, 40)).save(tmp_path / "narrow.png")
    with pytest.raises(InputError, match=r"narrow\.png is too small: 12x40"):
        evaluate([Subject(artifacts["fp32"], "ort-cpu")], [tmp_path])


def test_bad_requests(artifacts: dict[str, Artifact], photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to evaluate"):
        evaluate([], [photos])
    with pytest.raises(InputError, match="is not a directory"):
        evaluate([Subject(artifacts["fp32"], "ort-cpu")], [tmp_path / "none"])
    with pytest.raises(InputError, match="between 1 and 100"):
        Degradation(jpeg=0)
    with pytest.raises(InputError, match="border -1"):
        evaluate([Subject(artifacts["fp32"], "ort-cpu")], [photos], EvaluateOptions(border=-1))


# Budgets


def test_the_projects_budgets_are_the_built_in_ones() -> None:
    assert read_budgets(REPOSITORY / "validation" / "budgets.toml") == BUDGETS


@pytest.mark.parametrize("text", ["[fp99]\nmean = 1", "[fp16]\nmean = 1", "fp16 = 3", "[", "\udc80"])
def test_files_without_budgets(text: str, tmp_path: Path) -> None:
    path = tmp_path / "b.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match="is not a budget file"):
        read_budgets(path)


def test_a_file_may_speak_of_one_precision(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text("[int8]\nmean = 0.5\nworst_image = 1.0\nworst_patch = 9")
    budgets = read_budgets(tmp_path / "b.toml")
    assert budgets["int8"] == Limits(0.5, 1.0, 9)
    assert budgets["fp16"] == BUDGETS["fp16"]


# Verdicts in manifests


@needs_data
def test_a_demanded_budget_is_in_the_manifests(tmp_path: Path) -> None:
    fp32 = export(load_checkpoint(released(2)), directory=tmp_path)
    bf16 = convert(fp32, "bf16", ConvertOptions(keep_fp32=()))
    images = [DATA / "images" / "Set5"]
    report, (exact, lowered) = demand_budget([fp32, bf16], images, EvaluateOptions(budgets=BUDGETS))
    assert not report.passed  # bf16 everywhere loses a fourth of the gain, and not a twentieth
    assert exact.manifest.verdicts == ()
    (verdict,) = Artifact.read(bf16.path).manifest.verdicts
    assert (verdict,) == lowered.manifest.verdicts
    assert (verdict.runtime, verdict.data, verdict.images) == ("simulated", "Set5", 5)
    assert verdict.spent is not None
    assert 0.1 < verdict.spent.mean < 0.4
    # Measured again, it takes the place of the old verdict.
    assert demand_budget([fp32, lowered], images, EvaluateOptions(budgets=BUDGETS))[1][1].manifest == lowered.manifest


def test_a_page_that_cannot_be_written_is_said_before_any_work(small_artifact: Artifact, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(photos / "a.png")
    (tmp_path / "file").write_text("")
    done: list[str] = []
    for page, words in ((tmp_path / "file" / "page.html", "cannot write"), (photos, "it is a directory")):
        with pytest.raises(InputError, match=words):
            evaluate(
                [Subject(small_artifact, "ort-cpu")],
                [photos],
                EvaluateOptions(page=page),
                lambda progress: done.append(progress.activity),
            )
    assert not done
    assert [path.name for path in photos.iterdir()] == ["a.png"]


def test_an_x1_network_against_its_input(tmp_path: Path) -> None:
    """It moves rows down, and the degraded image is the original moved up: the result is perfect inside the border."""
    directory = tmp_path / "restored"
    random = np.random.default_rng(0)
    for side in ("HR", "LR"):
        (directory / side).mkdir(parents=True)
    high = np.asarray(Image.fromarray(random.integers(0, 256, (10, 12, 3), np.uint8)).resize((48, 40)))
    low = np.concatenate([high[1:], high[-1:]])
    Image.fromarray(high).save(directory / "HR" / "a.png")
    Image.fromarray(low).save(directory / "LR" / "a.png")
    subject = Subject(lowering_artifact(tmp_path), "ort-cpu", 1)
    (network,) = evaluate([subject], [directory]).networks
    assert (network.scale, network.border) == (1, 1)
    assert network.subjects[0].mean.psnr_y == BEST_PSNR
    weights = np.array([65.481, 128.553, 24.966]) / 255
    error = ((low[1:-1, 1:-1] @ weights - high[1:-1, 1:-1] @ weights) ** 2).mean()
    assert network.bicubic.psnr_y == pytest.approx(10 * np.log10(255**2 / error), abs=1e-9)
    with pytest.raises(InputError, match="at x1 the input would be the original itself"):
        evaluate([subject], [directory / "HR"])
    (compressed,) = evaluate([subject], [directory / "HR"], EvaluateOptions(Degradation(jpeg=50))).networks
    assert compressed.bicubic.psnr_y < 45
