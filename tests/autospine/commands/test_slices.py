from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from scipy import ndimage

from autospine.commands.slices import main
from autospine.fingerprint.slice_filter import class_counts, filter_slices
from autospine.labels.conversion import conversion
from autospine.labels.schemes import SCHEMES
from autospine.slices.extract import write_png
from tests.autospine.commands.conftest import Prediction
from tests.tiny import SHAPE, SPACING, spine_image, spine_mask, write_array, write_dataset

SPIDER, SEMANTIC4 = SCHEMES["spider"], SCHEMES["semantic4"]
IDS = ("1_t1", "1_t2")
Run = Callable[..., Prediction]

PLAIN = "plain.json"  # a scheme of structures without a name


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", IDS)


@pytest.fixture
def run(command: Run, data: Path, tmp_path: Path) -> Run:
    """autospine_slices with pictures of twice the slices' voxels and a margin on the sides."""
    size = ("--size", 100, 144)
    return lambda *options: command(main, "-i", data, "-o", tmp_path / "png", "--workers", 1, *size, *options)


def index_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "slices.csv").open() as file:
        return list(csv.DictReader(file))


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.mode == "L"
        return np.asarray(picture)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_slice_is_a_pair_of_one_size(run: Run, tmp_path: Path) -> None:
    answer = run()
    assert answer.status == 0
    assert answer.out.splitlines()[-1] == f"12 pairs of PNG and slices.csv written to {tmp_path / 'png'}"
    expected = [f"{case}_{k:03d}.png" for case in IDS for k in range(SHAPE[0])]
    for part in ("images", "masks"):
        assert names(tmp_path / "png" / part) == expected
        assert {pixels(path).shape for path in (tmp_path / "png" / part).iterdir()} == {(144, 100)}
    assert not (tmp_path / "png" / "colours").exists()


def test_masks_hold_the_classes_where_they_were(run: Run, tmp_path: Path) -> None:
    run()
    mask = pixels(tmp_path / "png" / "masks" / "1_t1_002.png")
    classes = conversion(SPIDER, SEMANTIC4).apply(spine_mask())[2]
    twice = np.kron(classes, np.ones((2, 2), np.uint8))  # 3 mm rows and columns become 1.5 mm
    expected = np.pad(twice, ((0, 0), (14, 14)))
    assert (mask == expected).mean() > 0.99
    for value in (1, 2, 3):
        middle = ndimage.center_of_mass(mask == value)
        assert middle == pytest.approx(ndimage.center_of_mass(expected == value), abs=0.3)


def test_images_span_black_to_white_by_percentiles(run: Run, tmp_path: Path) -> None:
    run()
    image = pixels(tmp_path / "png" / "images" / "1_t1_002.png")
    assert not image[:, :13].any()  # the margin is black
    inside = image[:, 14:-14]
    low, high = np.percentile(spine_image(spine_mask()), (0.5, 99.5))
    grey = np.clip((spine_image(spine_mask())[2] - low) / (high - low), 0, 1) * 255
    block = inside.reshape(72, 2, 36, 2).mean(axis=(1, 3))  # linear up and averaged down
    assert np.corrcoef(block.ravel(), grey.ravel())[0, 1] > 0.99
    assert inside.min() < 10
    assert inside.max() > 240


def test_a_turned_scan_gives_the_same_pictures(run: Run, command: Run, data: Path, tmp_path: Path) -> None:
    run()
    for part, array in (("images", spine_image(spine_mask())), ("masks", spine_mask())):
        turned = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(1, 0, 2)[::-1, :, ::-1]))
        turned.SetSpacing((SPACING[2], SPACING[0], SPACING[1]))
        # Axes of the file: forwards, leftwards, upwards.
        turned.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
        (tmp_path / "turned" / part).mkdir(parents=True)
        sitk.WriteImage(turned, str(tmp_path / "turned" / part / "1_t1.mha"))
    command(main, "-i", tmp_path / "turned", "-o", tmp_path / "again", "--size", 100, 144, "--workers", 1)
    for part in ("images", "masks"):
        for name in names(tmp_path / "again" / part):
            np.testing.assert_array_equal(
                pixels(tmp_path / "again" / part / name), pixels(tmp_path / "png" / part / name)
            )


def test_pixels_are_square(command: Run, tmp_path: Path) -> None:
    mask = np.zeros((1, 40, 80), np.uint8)
    mask[0, 10:30, 20:60] = 1  # 40 x 40 mm
    image = mask * 100.0 + np.arange(80)
    write_array(tmp_path / "data" / "images" / "1_t1.mha", image.astype(np.float32), (4, 2, 1))
    write_array(tmp_path / "data" / "masks" / "1_t1.mha", mask, (4, 2, 1))
    command(main, "-i", tmp_path / "data", "-o", tmp_path / "png", "--size", 160, 300)
    found = pixels(tmp_path / "png" / "masks" / "1_t1_000.png")
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    assert abs(np.ptp(rows) - np.ptp(columns)) <= 1
    assert np.ptp(columns) == pytest.approx(79, abs=1)
    assert rows.mean() == pytest.approx(149.5, abs=1)


def test_the_index_says_what_each_slice_shows(run: Run, tmp_path: Path) -> None:
    run()
    rows = index_of(tmp_path / "png")
    assert [(row["id"], row["slice"]) for row in rows] == [(id_, str(k)) for id_ in IDS for k in range(6)]
    assert (rows[6]["patient"], rows[6]["sequence"], rows[6]["subset"]) == ("1", "t2", "training")
    assert [row["classes"] for row in rows[:3]] == [
        "background",
        "background vertebra disc",
        "background vertebra canal disc",
    ]
    masks = np.stack([pixels(tmp_path / "png" / row["mask"]) for row in rows[:6]])
    results = filter_slices(class_counts(masks, SEMANTIC4))
    for row, result in zip(rows[:6], results, strict=True):
        assert (row["kept"] == "yes") == result.kept
        assert row["ratio"] == (f"{result.ratio:.2f}" if result.kept else "")
        assert tuple(int(row[name]) for name in ("background", "vertebra", "canal", "disc")) == result.voxels
        assert row["image"] == f"images/1_t1_{int(row['slice']):03d}.png"


def test_the_filter_leaves_slices_out_but_lists_them(run: Run, tmp_path: Path) -> None:
    answer = run("--filter")
    assert answer.status == 0
    assert "slice filter, t1: 2 of 6 slices kept" in answer.out
    kept = [f"{case}_{k:03d}.png" for case in IDS for k in (2, 3)]
    assert names(tmp_path / "png" / "images") == names(tmp_path / "png" / "masks") == kept
    rows = index_of(tmp_path / "png")
    assert len(rows) == 12
    assert [row["image"] for row in rows if row["kept"] == "no"] == [""] * 8
    assert rows[1]["reason"] == "shows no spinal canal"


def test_a_filter_that_leaves_nothing_says_why(run: Run, tmp_path: Path) -> None:
    answer = run("--filter", "--max-ratio", 1.5)
    assert answer.status == 2
    assert "--filter: leaves none of 12 slices: the lowest class weight ratio is " in answer.errors[0]
    assert ", above 1.5; see " in answer.errors[0]
    assert "raise --max-ratio" in answer.errors[0]
    assert not (tmp_path / "png" / "images").exists()
    assert len(index_of(tmp_path / "png")) == 12


def test_a_filter_for_want_of_the_canal_says_so(run: Run, data: Path) -> None:
    for id_ in IDS:
        write_array(data / "masks" / f"{id_}.mha", np.where(spine_mask() == 100, 0, spine_mask()))
    answer = run("--filter")
    assert answer.status == 2
    assert "--filter: leaves none of 12 slices: not one shows spinal canal; see " in answer.errors[0]
    assert "--max-ratio" not in answer.errors[0]


def test_slices_of_two_runs_are_not_mixed(run: Run, tmp_path: Path) -> None:
    assert run().status == 0
    answer = run("--filter")
    assert answer.status == 2
    assert "holds other slices already" in answer.errors[0]
    assert len(names(tmp_path / "png" / "images")) == 12


def test_masks_can_be_cleaned_first(run: Run, data: Path, tmp_path: Path) -> None:
    mask = spine_mask()
    mask[2, 30, 12] = 77
    write_array(data / "masks" / "1_t1.mha", mask)
    bad = run()
    assert bad.status == 2
    assert "holds the label 77, which the scheme spider lacks" in bad.out
    shutil.rmtree(tmp_path / "png")
    assert run("--clean", "adapted").status == 0


@pytest.mark.parametrize(
    ("plane", "count", "shape", "canal"),
    [("axial", 72, (60, 40), (25.5, 3.0)), ("coronal", 36, (40, 60), (36.0, 3.0))],
)
def test_other_planes(
    run: Run, tmp_path: Path, plane: str, count: int, shape: tuple[int, int], canal: tuple[float, float]
) -> None:
    height, width = shape
    assert run("--plane", plane, "--size", width, height).status == 0
    masks = sorted((tmp_path / "png" / "masks").glob("1_t1_*"))
    assert len(masks) == count
    found = pixels(masks[25])
    assert found.shape == shape
    down = (3.0 * 36, 3.0 * 72)[plane == "coronal"]
    size = max(down / height, 4.0 * 6 / width)  # mm of a pixel
    middle = (np.array(ndimage.center_of_mass(found == 2)) + 0.5 - np.array(shape) / 2) * size
    along = canal[0] * 3 - down / 2
    assert middle == pytest.approx((along, canal[1] * 4 - 12), abs=2)


def test_previews_show_the_labels_in_colour(run: Run, tmp_path: Path) -> None:
    run("--colours")
    with Image.open(tmp_path / "png" / "colours" / "1_t1_002.png") as picture:
        assert picture.mode == "RGB"
        colours = np.asarray(picture).astype(int)
    mask = pixels(tmp_path / "png" / "masks" / "1_t1_002.png")
    assert np.ptp(colours[mask == 0], axis=1).max() == 0
    assert np.ptp(colours[mask > 0], axis=1).min() > 20


def test_other_labels(run: Run, tmp_path: Path) -> None:
    assert run("--labels", "spider").status == 0
    assert set(np.unique(pixels(tmp_path / "png" / "masks" / "1_t1_002.png"))) == set(np.unique(spine_mask()[2]))


def test_a_bad_case_is_named_and_the_others_finish(run: Run, data: Path, tmp_path: Path) -> None:
    write_array(data / "images" / "1_t1.mha", np.full(SHAPE, 7, np.float32))
    answer = run()
    assert answer.status == 2
    assert "failed: " in answer.out
    assert "images/1_t1.mha: is constant (7 everywhere); remove the case or export it again" in answer.out
    assert {row["id"] for row in index_of(tmp_path / "png")} == {"1_t2"}


def test_one_bright_voxel_is_no_constant_image(run: Run, data: Path, tmp_path: Path) -> None:
    image = np.zeros(SHAPE, np.float32)
    image[3, 20, 20] = 5
    write_array(data / "images" / "1_t1.mha", image)
    assert run().status == 0
    assert pixels(tmp_path / "png" / "images" / "1_t1_003.png").max() > 100


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--size", 0, 640), "--size: is 0 x 640"),
        (("--max-ratio", "nan"), "--max-ratio: is nan"),
        (("--labels", "axial4"), "--labels axial4: has no label that spider masks could become"),
        (("--mask-labels", PLAIN, "--labels", PLAIN, "--filter"), "--filter: finds no vertebra"),
        (("--plane", "axial", "--clean", "published"), "--clean published: works on sagittal slices"),
    ],
)
def test_wrong_options_are_one_line(run: Run, tmp_path: Path, options: tuple[object, ...], word: str) -> None:
    labels = {str(value): f"structure:{value}" for value in np.unique(spine_mask()).tolist() if value}
    (tmp_path / PLAIN).write_text(json.dumps({"labels": labels}))
    answer = run(*(tmp_path / PLAIN if option == PLAIN else option for option in options))
    assert answer.status == 2
    assert len(answer.errors) == 1
    assert word in answer.errors[0]
    assert not (tmp_path / "png").exists()


def test_an_interrupted_run_is_completed_by_the_same_command_only(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run().status == 0
    whole = {path: path.read_bytes() for path in (tmp_path / "png").rglob("*") if path.is_file()}
    shutil.rmtree(tmp_path / "png")
    written: list[Path] = []

    def interrupted(path: Path, array: np.ndarray) -> None:
        if len(written) == 7:
            raise KeyboardInterrupt
        written.append(path)
        write_png(path, array)

    with monkeypatch.context() as patch:
        patch.setattr("autospine.slices.extract.write_png", interrupted)
        assert run().status == 130
    assert "holds other slices already" in run("--size", 32, 32).errors[0]
    assert run().status == 0
    assert {path: path.read_bytes() for path in (tmp_path / "png").rglob("*") if path.is_file()} == whole
    assert run().status == 0  # a command that was killed after its last file may be given again, too
    assert {path: path.read_bytes() for path in (tmp_path / "png").rglob("*") if path.is_file()} == whole


def test_the_data_set_is_never_written_into(command: Run, data: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "masks").symlink_to(data / "masks")
    for output, holding in ((data, data / "images"), (data / "masks", data / "masks"), (tmp_path / "linked",) * 2):
        answer = command(main, "-i", data, "-o", output)
        assert answer.status == 2
        assert f"{holding}" in answer.errors[0]
        assert "holds files of the input; choose another output" in answer.errors[0]


def test_real_scans_stand_upright(command: Run, real_data: Path, tmp_path: Path) -> None:
    source = tmp_path / "data"
    for part in ("images", "masks"):
        path = next((real_data / "t2" / part).glob("5_t2.*"))
        (source / part).mkdir(parents=True)
        (source / part / path.name).write_bytes(path.read_bytes())
    assert command(main, "-i", source, "-o", tmp_path / "png", "--workers", 1).status == 0
    rows = [row for row in index_of(tmp_path / "png") if "vertebra" in row["classes"]]
    assert len(rows) > 10
    mask = pixels(tmp_path / "png" / rows[len(rows) // 2]["mask"])
    assert mask.shape == (640, 512)
    seven, count = ndimage.label(mask)
    assert count >= 5
    places = np.array(ndimage.center_of_mass(mask, seven, range(1, count + 1)))
    assert np.ptp(places[:, 0]) > 2 * np.ptp(places[:, 1])  # one above another
