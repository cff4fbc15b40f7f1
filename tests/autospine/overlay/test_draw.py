from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from autospine.core.errors import UserError
from autospine.labels.anatomy import Anatomy, Kind
from autospine.labels.schemes import SCHEMES, LabelScheme
from autospine.overlay.colours import colour_of
from autospine.overlay.draw import draw_overlay, inner_centre, make_figure
from autospine.overlay.views import find_views
from tests.paths import SHARED

SPIDER = SCHEMES["spider"]
DATA = SHARED / "data"


def spine(slices: int = 12) -> np.ndarray:
    mask = np.zeros((slices, 120, 90), np.uint8)
    mask[:, 20:40, 20:45], mask[:, 42:48, 20:45], mask[:, 50:70, 20:45] = 2, 202, 1
    mask[:, 20:70, 50:60], mask[:, 52:64, 62:74] = 100, 1
    return mask


def scan(mask: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).normal(100, 20, mask.shape).astype(np.float32) + 50 * (mask > 0)


def read(path: Path) -> np.ndarray:
    from matplotlib.image import imread

    return np.asarray(imread(path))[..., :3]  # (height, width, 3)


def texts(mask: np.ndarray, scheme: LabelScheme = SPIDER) -> list[str]:
    figure = make_figure(find_views(scan(mask), mask, (4.0, 1.0, 1.0)), scheme, "title")
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_a_picture_shows_the_colours(tmp_path: Path) -> None:
    mask = spine()
    draw_overlay(scan(mask), mask, (4.0, 1.0, 1.0), SPIDER, tmp_path / "new" / "1_t2.png", "1_t2")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["1_t2.png"]
    picture = read(tmp_path / "new" / "1_t2.png")
    assert picture.shape[0] > 600 and picture.shape[1] > 600
    for anatomy in (Anatomy(Kind.VERTEBRA, 1), Anatomy(Kind.VERTEBRA, 2), Anatomy(Kind.CANAL)):
        near = np.abs(picture - np.array(colour_of(anatomy))).max(axis=-1) < 0.02
        assert near.sum() > 200, anatomy.name


def test_names_and_legend() -> None:
    mask = spine()
    named = texts(mask)
    assert named.count("L5") == named.count("L4") == 4  # three sagittal views and a coronal one
    figure = make_figure(find_views(scan(mask), mask, (4.0, 1.0, 1.0)), SPIDER, "title")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["L4/L5 disc", "spinal canal"]
    around = [text.get_text() for text in figure.texts]
    assert "title" in around and any("five lumbar vertebrae" in text and "research" in text for text in around)


def test_discs_have_names_where_there_are_no_vertebrae() -> None:
    mask = np.where(spine() == 202, 202, 0).astype(np.uint8)
    assert "L4/L5" in texts(mask)


def test_semantic_classes_are_in_the_legend() -> None:
    mask = np.where(spine() > 0, 1, 0).astype(np.uint8)
    figure = make_figure(find_views(scan(mask), mask, (4.0, 1.0, 1.0)), SCHEMES["semantic4"], "")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["vertebra"]


@pytest.mark.parametrize("spacing", [(4.0, 1.0, 1.0), (4.0, 0.5, 1.5), (1.0, 2.0, 1.0)])
def test_aspect_is_true(spacing: tuple[float, float, float]) -> None:
    mask = spine()
    views = find_views(scan(mask), mask, spacing)
    figure = make_figure(views, SPIDER, "")
    width, height = figure.get_size_inches()
    scales = []
    for axes, view in zip(figure.axes, views, strict=True):
        place = axes.get_position()
        scales += [place.height * height / view.size_mm[0], place.width * width / view.size_mm[1]]
    assert scales == pytest.approx([scales[0]] * len(scales), rel=1e-6)
    assert width < 23 and height < 10


@pytest.mark.parametrize("slices", [1, 2, 3])
def test_thin_scans(tmp_path: Path, slices: int) -> None:
    mask = spine(slices)
    draw_overlay(scan(mask), mask, (4.0, 1.0, 1.0), SPIDER, tmp_path / "thin.png")
    assert read(tmp_path / "thin.png").std() > 0.05


def test_nothing_labelled_and_nothing_to_see(tmp_path: Path) -> None:
    mask = np.zeros((4, 30, 30), np.uint8)
    draw_overlay(np.full(mask.shape, 7.0), mask, (4.0, 1.0, 1.0), SPIDER, tmp_path / "empty.png", "2_t1")
    assert (tmp_path / "empty.png").is_file()
    figure = make_figure(find_views(scan(mask), mask, (4.0, 1.0, 1.0)), SPIDER, "2_t1")
    assert "2_t1 (nothing labelled)" in [text.get_text() for text in figure.texts]


def test_remarks_stand_below_the_title_and_cover_nothing() -> None:
    mask, sentence = spine(1), "the image ends right below the lowest instance, so nothing shows which level it is"
    views = find_views(scan(mask), mask, (4.0, 1.0, 1.0))
    figure = make_figure(views, SPIDER, "2_t1", [f"AMBIGUOUS levels: {sentence}", "IMPLAUSIBLE: volume of L5 0.04 ml"])
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    title, *remarks, _ = sorted(figure.texts, key=lambda text: -text.get_position()[1])
    assert title.get_text() == "2_t1"
    words = " ".join(text.get_text() for text in remarks)
    assert words == f"AMBIGUOUS levels: {sentence} IMPLAUSIBLE: volume of L5 0.04 ml"
    boxes = [text.get_window_extent(renderer) for text in (title, *remarks, figure.axes[0].title)]
    assert all(upper.y0 >= lower.y1 for upper, lower in pairwise(boxes))
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)


@pytest.mark.parametrize("title", ["$_$", "$\\frac{$", "a_$b^", "_{}$$", "caf\udce9", "\x1b[2J"])
def test_a_title_is_no_formula(tmp_path: Path, title: str) -> None:
    mask = spine(1)
    draw_overlay(scan(mask), mask, (4.0, 1.0, 1.0), SPIDER, tmp_path / "a.png", title, [f"{title} is odd"])
    assert read(tmp_path / "a.png").std() > 0.05


def test_unlabelled_voxels_are_left_plain(tmp_path: Path) -> None:
    scheme = LabelScheme("part", {1: Anatomy(Kind.VERTEBRA, 1)}, ignore_label=255)
    mask = np.where(spine() == 1, 1, 255).astype(np.uint8)
    before = mask.copy()
    draw_overlay(scan(mask), mask, (4.0, 1.0, 1.0), scheme, tmp_path / "part.png")
    assert (mask == before).all()
    zero = np.where(mask == 255, 0, mask)
    draw_overlay(scan(mask), zero, (4.0, 1.0, 1.0), scheme, tmp_path / "zero.png")
    assert (read(tmp_path / "part.png") == read(tmp_path / "zero.png")).all()


def test_mistakes(tmp_path: Path) -> None:
    mask = spine()
    with pytest.raises(UserError, match="differ in shape"):
        draw_overlay(scan(mask)[1:], mask, (4.0, 1.0, 1.0), SPIDER, tmp_path / "a.png")
    with pytest.raises(UserError, match="holds the label 100, which the scheme lumbar7 lacks"):
        draw_overlay(scan(mask), mask, (4.0, 1.0, 1.0), SCHEMES["lumbar7"], tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_inner_centre_lies_in_the_body_not_the_arch() -> None:
    flat = np.zeros((40, 60), bool)
    flat[10:30, 5:30], flat[18:22, 30:50], flat[15:28, 45:52] = True, True, True
    row, column = inner_centre(flat, (1.0, 1.0))
    assert (row, column) == pytest.approx((19.5, 17.0), abs=1.5)


def test_matplotlib_is_loaded_late_and_without_global_state() -> None:
    late = "import sys, autospine.overlay.draw; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", late], check=True)
    local = (
        "import sys, tempfile, numpy as np; from autospine.overlay.draw import draw_overlay;"
        "from autospine.labels.conversion import SCHEMES; m = np.ones((2, 20, 20), np.uint8);"
        "draw_overlay(m * 1.0, m, (1, 1, 1), SCHEMES['spider'], tempfile.mkdtemp() + '/a.png');"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", local], check=True)


@pytest.mark.parametrize("case", ["t2/5_t2", "mixed/10_t2", "discs/11_t2"])
def test_real_scans(tmp_path: Path, case: str) -> None:
    folder, id_ = case.split("/")
    if not (DATA / folder).is_dir():
        pytest.skip(f"../shared/data/{folder} is absent")
    from autospine.volumes import read_image, read_mask

    image = read_image(DATA / folder / "images" / f"{id_}.mha")
    mask = read_mask(DATA / folder / "masks" / f"{id_}.mha")
    draw_overlay(image.array, mask.array, image.spacing, SPIDER, tmp_path / "case.png", id_)
    assert read(tmp_path / "case.png").std() > 0.1
