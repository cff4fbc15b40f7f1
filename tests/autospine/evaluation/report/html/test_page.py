from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from autospine.evaluation.methods import MethodComparison
from autospine.evaluation.report.html import pictures
from autospine.evaluation.report.html.levels import errors, level_counts
from autospine.evaluation.report.html.page import as_page
from autospine.evaluation.report.html.pictures import draw_case
from autospine.evaluation.report.html.plots import _name_columns, agreements, bland_altman, box_plots, level_bars
from autospine.evaluation.report.tables import tables
from autospine.evaluation.run import EvaluateRequest, evaluate

IDS = ("1_t1", "1_t2", "2_t2", "3_t2", "4_t2")
VOID = {"meta", "img", "br", "path", "use", "rect", "polygon"}


class Reader(HTMLParser):
    """Checks that tags close in order, and notes what a page refers to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        named = dict(attrs)
        self.addresses += [str(named[key]) for key in ("src", "href", "xlink:href") if key in named]
        self.ids += [str(named["id"])] if "id" in named else []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> MethodComparison:
    return make(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def page(comparison: MethodComparison) -> str:
    return as_page(comparison)


def make(root: Path, images: bool = True, against: bool = True) -> MethodComparison:
    """Five series: perfect, moved, one level up, one level missing, no prediction; `<b>` is an id to escape."""
    from tests.autospine.conftest import stacked_boxes, write_array

    mask = stacked_boxes([1, 2, 3, 4])
    spoilt = [
        mask,
        np.roll(mask, 1, axis=1),
        np.where(mask > 0, mask + 1, 0),
        np.where(mask == 2, 0, mask),
        None,
    ]
    for id_, prediction in zip(IDS, spoilt, strict=True):
        write_array(root / "data" / "masks" / f"{id_}.mha", mask)
        if images:
            write_array(root / "data" / "images" / f"{id_}.mha", (mask * 30).astype(np.float32))
        if prediction is not None:
            write_array(root / "first <&>" / f"{id_}.mha", prediction.astype(np.uint8))
        write_array(root / "second" / f"{id_}.mha", mask)
    methods = [root / "first <&>", *([root / "second"] if against else [])]
    return evaluate(
        EvaluateRequest(methods[0], root / "data", tuple(methods[1:]), protocol="spider" if against else None)
    )


def test_the_page_is_well_formed_and_needs_nothing_else(page: str) -> None:
    reader = Reader(page)
    assert reader.open == [] and "script" not in reader.tags and "link" not in reader.tags
    assert len(reader.ids) == len(set(reader.ids)) and len(reader.addresses) > 10
    for address in reader.addresses:
        assert address.startswith("data:image/png;base64,") or address[1:] in reader.ids, address
    assert "@import" not in page and "url(http" not in page


def test_the_page_holds_every_table_and_says_what_is_missing(comparison: MethodComparison, page: str) -> None:
    for table in tables(comparison):
        for row in table.rows:
            for cell in row:
                assert (
                    cell.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#39;") in page
                )
    assert "first <&>" not in page and "first &lt;&amp;&gt;" in page
    assert "No prediction (first" in page and "For research, not a medical device." in page
    assert "all vertebrae are numbered 1 level too high" in page and "L4: false negative" in page


def test_the_same_study_gives_the_same_page(comparison: MethodComparison, page: str) -> None:
    assert as_page(MethodComparison(comparison.methods)) == page


def test_without_scans_the_masks_are_drawn_alone(tmp_path: Path) -> None:
    comparison = make(tmp_path, images=False, against=False)
    where, panels = draw_case(comparison.first.files["1_t2"])
    assert re.fullmatch(r"slice \d of 6", where)
    assert [panel.title for panel in panels] == ["reference", "prediction", "differences"]
    picture = Image.open(io.BytesIO(panels[0].png)).convert("RGB")
    assert picture.getpixel((2, 2)) == (36, 36, 36)


def test_pictures_show_levels_and_errors(comparison: MethodComparison) -> None:
    _, (reference, prediction, differences) = draw_case(comparison.first.files["2_t2"])
    assert {name for name, _, _ in reference.names} == {"L5", "L4", "L3", "L2"}
    assert {name for name, _, _ in prediction.names} == {"L4", "L3", "L2", "L1"}
    assert all(0 < x < 1 and 0 < y < 1 for _, x, y in reference.names)
    stored = base64.b64decode(differences.data.partition(",")[2])
    colours = np.array(Image.open(io.BytesIO(stored)).convert("RGB"), int)
    yellow = (abs(colours - (245, 199, 51)).max(axis=2) < 25).mean()
    assert yellow > 0.02  # every vertebra has another label


def test_a_file_that_is_gone_gives_no_picture(tmp_path: Path) -> None:
    comparison = make(tmp_path, against=False)
    comparison.first.files["1_t1"].reference.unlink()
    assert draw_case(comparison.first.files["1_t1"]) == ("", [])


def test_a_picture_that_cannot_be_drawn_is_left_out_and_said(
    tmp_path: Path, comparison: MethodComparison, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("autospine.core.boundary._temporary", lambda: tmp_path / "errors.log")
    monkeypatch.setattr(pictures, "_errors", lambda view: 1 // 0)
    assert draw_case(comparison.first.files["2_t2"]) == ("", [])
    assert "the picture met an unexpected ZeroDivisionError" in caplog.text


def test_levels_are_counted(comparison: MethodComparison) -> None:
    counts = level_counts(comparison.first)
    assert list(counts) == ["vertebrae"]
    levels = counts["vertebrae"]
    assert list(levels) == ["L5", "L4", "L3", "L2"]
    assert [outcomes["false negative"] for outcomes in levels.values()] == [1, 2, 1, 1]
    assert all(outcomes["wrong level"] == 1 for outcomes in levels.values())
    assert sum(sum(outcomes.values()) for outcomes in levels.values()) == 4 * len(IDS)


def test_faults_in_words(comparison: MethodComparison) -> None:
    lines = {case.id: list(errors(case)) for case in comparison.first.cases}
    assert lines["1_t1"] == lines["1_t2"] == []
    assert lines["3_t2"] == ["L4: false negative"]
    assert lines["4_t2"] == ["L5: false negative", "L4: false negative", "L3: false negative", "L2: false negative"]


def test_a_flag_stands_beside_the_pictures_with_what_became_of_the_levels(comparison: MethodComparison) -> None:
    case = replace(comparison.first.cases[0], ambiguous="the image ends there")
    assert list(errors(case)) == ["levels right, flagged as ambiguous: the image ends there"]


def test_names_of_columns_never_overlap() -> None:
    axes = Figure().subplots()
    names = ["L5", "L5/S1", "spinal canal", "all vertebrae", "all discs"]
    for count, slant, last in ((8, 0, "all\ndiscs"), (30, 40, "all discs")):
        _name_columns(axes, ["L1"] * count + names)
        label = axes.get_xticklabels()[-1]
        assert (label.get_rotation(), label.get_text()) == (slant, last)


def test_agreement_of_volumes(comparison: MethodComparison) -> None:
    found = agreements(comparison.first)
    assert [each.kind for each in found] == ["vertebrae"]
    scores = [score for case in comparison.first.cases for score in case.scores if not score.all_levels]
    both = [score.volume_error_ml for score in scores if score.presence.value == "both"]
    assert found[0].bias == pytest.approx(mean(both))
    assert found[0].limits[1] == pytest.approx(mean(both) + 1.96 * stdev(both))
    shown = [score for score in scores if score.presence.value != "absent in both"]
    assert found[0].left_out == len(shown) - len(both) > 0


@pytest.mark.parametrize(
    "draw",
    [
        lambda comparison: box_plots(comparison.methods, "dice"),
        lambda comparison: box_plots(comparison.methods[:1], "asd_mm"),
        lambda comparison: level_bars(level_counts(comparison.first), "a <b>"),
        lambda comparison: bland_altman(agreements(comparison.first), "a <b>"),
    ],
)
def test_plots_are_plain_svg(comparison: MethodComparison, draw: Callable[[MethodComparison], str]) -> None:
    svg = draw(comparison)
    assert svg.startswith("<svg") and svg.rstrip().endswith("</svg>")
    assert "viewBox" in svg and not re.search(r"<svg[^>]* (width|height)=", svg)
    assert "<text" in svg and "<dc:date>" not in svg and svg == draw(comparison)
