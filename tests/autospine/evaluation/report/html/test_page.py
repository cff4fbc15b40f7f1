from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest
from PIL import Image

from autospine.evaluation.report.html.agreement import agreements
from autospine.evaluation.report.html.levels import faults, level_counts
from autospine.evaluation.report.html.page import as_page
from autospine.evaluation.report.html.pictures import draw_case
from autospine.evaluation.report.html.plots import bland_altman, box_plots, level_bars
from autospine.evaluation.report.tables import tables
from autospine.evaluation.run import Settings, score_systems
from autospine.evaluation.study import MethodComparison

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
def study(tmp_path_factory: pytest.TempPathFactory) -> MethodComparison:
    return make(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def page(study: MethodComparison) -> str:
    return as_page(study)


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
    systems = [root / "first <&>", *([root / "second"] if against else [])]
    return score_systems(systems, root / "data", Settings(spider=against))


def test_the_page_is_well_formed_and_needs_nothing_else(page: str) -> None:
    reader = Reader(page)
    assert reader.open == [] and "script" not in reader.tags and "link" not in reader.tags
    assert len(reader.ids) == len(set(reader.ids)) and len(reader.addresses) > 10
    for address in reader.addresses:
        assert address.startswith("data:image/png;base64,") or address[1:] in reader.ids, address
    assert "@import" not in page and "url(http" not in page


def test_the_page_holds_every_table_and_says_what_is_missing(study: MethodComparison, page: str) -> None:
    for table in tables(study):
        for row in table.rows:
            for cell in row:
                assert (
                    cell.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#x27;") in page
                )
    assert "first <&>" not in page and "first &lt;&amp;&gt;" in page
    assert "No prediction (first" in page and "For research, not a medical device." in page
    assert "all vertebrae are numbered 1 level too high" in page and "L4: missed" in page


def test_the_same_study_gives_the_same_page(study: MethodComparison, page: str) -> None:
    assert as_page(MethodComparison(study.systems)) == page


def test_without_scans_the_masks_are_drawn_alone(tmp_path: Path) -> None:
    study = make(tmp_path, images=False, against=False)
    where, panels = draw_case(study.first.files["1_t2"])
    assert re.fullmatch(r"slice \d of 6", where)
    assert [panel.title for panel in panels] == ["reference", "prediction", "differences"]
    picture = Image.open(io.BytesIO(panels[0].png)).convert("RGB")
    assert picture.getpixel((2, 2)) == (36, 36, 36)


def test_pictures_show_levels_and_errors(study: MethodComparison) -> None:
    _, (reference, prediction, differences) = draw_case(study.first.files["2_t2"])
    assert {name for name, _, _ in reference.names} == {"L5", "L4", "L3", "L2"}
    assert {name for name, _, _ in prediction.names} == {"L4", "L3", "L2", "L1"}
    assert all(0 < x < 1 and 0 < y < 1 for _, x, y in reference.names)
    stored = base64.b64decode(differences.data.partition(",")[2])
    colours = np.array(Image.open(io.BytesIO(stored)).convert("RGB"), int)
    yellow = (abs(colours - (245, 199, 51)).max(axis=2) < 25).mean()
    assert yellow > 0.02  # every vertebra has another label


def test_a_file_that_is_gone_gives_no_picture(tmp_path: Path) -> None:
    study = make(tmp_path, against=False)
    study.first.files["1_t1"].reference.unlink()
    assert draw_case(study.first.files["1_t1"]) == ("", [])


def test_levels_are_counted(study: MethodComparison) -> None:
    counts = level_counts(study.first)
    assert list(counts) == ["vertebrae"]
    assert [each.name for each in counts["vertebrae"]] == ["L5", "L4", "L3", "L2"]
    assert [each.counts["missed"] for each in counts["vertebrae"]] == [1, 2, 1, 1]
    assert all(each.counts["wrong level"] == 1 for each in counts["vertebrae"])
    assert sum(sum(each.counts.values()) for each in counts["vertebrae"]) == 4 * len(IDS)


def test_faults_in_words(study: MethodComparison) -> None:
    lines = {case.id: list(faults(case)) for case in study.first.cases}
    assert lines["1_t1"] == lines["1_t2"] == []
    assert lines["3_t2"] == ["L4: missed"]
    assert lines["4_t2"] == ["L5: missed", "L4: missed", "L3: missed", "L2: missed"]


def test_agreement_of_volumes(study: MethodComparison) -> None:
    found = agreements(study.first)
    assert [each.kind for each in found] == ["vertebrae"]
    scores = [score for case in study.first.cases for score in case.scores if not score.union]
    both = [score.volume_error_ml for score in scores if score.presence.value == "both"]
    assert found[0].bias == pytest.approx(mean(both))
    assert found[0].limits[1] == pytest.approx(mean(both) + 1.96 * stdev(both))
    shown = [score for score in scores if score.presence.value != "absent in both"]
    assert found[0].left_out == len(shown) - len(both) > 0


@pytest.mark.parametrize(
    "draw",
    [
        lambda study: box_plots(study.systems, "dice"),
        lambda study: box_plots(study.systems[:1], "asd_mm"),
        lambda study: level_bars(level_counts(study.first), "a <b>"),
        lambda study: bland_altman(agreements(study.first), "a <b>"),
    ],
)
def test_plots_are_plain_svg(study: MethodComparison, draw: Callable[[MethodComparison], str]) -> None:
    svg = draw(study)
    assert svg.startswith("<svg") and svg.rstrip().endswith("</svg>")
    assert "viewBox" in svg and not re.search(r"<svg[^>]* (width|height)=", svg)
    assert "<text" in svg and "<dc:date>" not in svg and svg == draw(study)
