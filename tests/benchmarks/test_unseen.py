from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from autospine.dataset.cases import Case
from autospine.evaluation.case import CaseScore, evaluate_case
from autospine.evaluation.mask_pair import MaskPair
from autospine.fingerprint.statistics import checksum
from autospine.labels.anatomy import Kind
from autospine.labels.schemes import SCHEMES
from autospine.models.provenance import SeenScan
from tests.paths import ROOT

SHAPE, SPACING = (3, 90, 30), (4.0, 1.0, 1.0)
SILENT = {"ambiguous": "", "implausible": [], "warnings": []}
FLAGGED = {**SILENT, "ambiguous": "the lowest could also be level 2"}


@dataclass(frozen=True)
class Scripts:
    """The benchmark's four files."""

    main: ModuleType
    runs: ModuleType
    cases: ModuleType
    slices: ModuleType


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripts]:
    names = ("unseen", "unseen_runs", "unseen_cases", "unseen_slices")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    import unseen
    import unseen_cases
    import unseen_runs
    import unseen_slices

    yield Scripts(unseen, unseen_runs, unseen_cases, unseen_slices)
    for name in names:
        monkeypatch.delitem(sys.modules, name)


def spine(names: dict[int, int], columns: int = 0) -> np.ndarray:
    """Bodies of twelve rows: places 0, 1, ... from the lowest up, with the label that each has."""
    mask = np.zeros(SHAPE, np.uint8)
    for place, label in names.items():
        bottom = SHAPE[1] - 4 - 16 * place
        mask[:, bottom - 12 : bottom, 2 + columns : 14 + columns] = label
    return mask


FIVE = spine({place: place + 1 for place in range(5)})


def score(answer: np.ndarray | None, reference: np.ndarray = FIVE, scheme: str = "bodies") -> CaseScore:
    shown = np.zeros_like(reference) if answer is None else answer
    pair = MaskPair(shown, reference, SPACING, (SCHEMES[scheme], SCHEMES[scheme]))
    return evaluate_case("1_t2", pair, missing=answer is None)


@pytest.mark.parametrize(
    ("answer", "silent", "flagged"),
    [
        ({0: 1, 1: 2, 2: 3, 3: 4, 4: 5}, "right", "flagged right"),
        ({0: 2, 1: 3, 2: 4, 3: 5, 4: 6}, "silently wrong", "flagged wrong"),  # all shifted by one
        ({0: 1, 1: 2, 2: 3, 3: 4, 4: 6}, "silently wrong", "flagged wrong"),  # the topmost alone
        ({1: 1, 2: 2, 3: 3, 4: 4}, "silently wrong", "flagged wrong"),  # the lowest missed, so all shift
        ({1: 2, 2: 3, 3: 4, 4: 5}, "right", "flagged right"),  # missed, but the others are named rightly
        ({}, "no vertebra, silent", "no vertebra"),
    ],
)
def test_levels_are_wrong_where_a_vertebra_has_another_level_and_silent_without_a_flag(
    unseen: Scripts, answer: dict[int, int], silent: str, flagged: str
) -> None:
    case = score(spine(answer))
    assert [unseen.cases.outcome(case, flag).value for flag in (False, True)] == [silent, flagged]


def test_a_column_beside_the_spine_is_wrong_though_no_vertebra_is_shifted(unseen: Scripts) -> None:
    beside = score(spine({place: place + 1 for place in range(5)}, columns=14))
    assert beside.levels_wrong is None
    assert unseen.cases.outcome(beside, False) is unseen.cases.Outcome.SILENTLY_WRONG


def test_a_scan_without_an_answer_is_said(unseen: Scripts) -> None:
    assert unseen.cases.outcome(score(None), bool(unseen.cases.flags_of(None))).value == "no vertebra"


def test_discs_count_where_nothing_else_is_annotated(unseen: Scripts) -> None:
    discs = spine({0: 201, 1: 202, 2: 203})
    for answer, meant in (({0: 201, 1: 202}, "right"), ({0: 202, 1: 203}, "silently wrong"), ({}, "no levels")):
        case = score(spine(answer), discs, "spider")
        assert unseen.cases.outcome(case, False).value.startswith(meant)


def test_flags_are_what_a_report_says_against_its_levels(unseen: Scripts) -> None:
    flags = unseen.cases.flags_of
    assert flags(SILENT) == ()
    assert flags({**SILENT, "warnings": ["spacing from left to right is 4.00 mm; training had 0.90 to 1.00"]}) == ()
    told = ["the levels are those of another count", "no vertebra was found"]
    assert flags({**FLAGGED, "implausible": ["the mask is empty"], "warnings": told}) == (
        *("the lowest could also be level 2", "the mask is empty"),
        *told,
    )


def figure(
    scripts: Scripts, answer: np.ndarray | None, seen: bool = False, source: str = "t2", report: object = SILENT
) -> object:
    case = score(answer)
    return scripts.cases.case_figure("pooled", source, seen, case, report, scripts.cases.annotated_kinds([case]))


def test_dice_is_of_all_levels_together_and_of_the_mean_level(unseen: Scripts) -> None:
    shifted = figure(unseen, spine({place: place + 2 for place in range(5)}))
    assert (shifted.union, shifted.label, shifted.discs, shifted.canal) == (1.0, 0.0, None, None)
    four = figure(unseen, spine({place: place + 1 for place in range(4)}))
    assert (four.union, four.label, four.anatomy) == (pytest.approx(8 / 9), 0.8, "bodies")


def test_what_no_reference_of_a_set_shows_is_not_scored(unseen: Scripts) -> None:
    answer, discs = spine({0: 1, 1: 201, 2: 202}), spine({1: 201, 2: 202})
    case = score(answer, discs, "spider")
    told = unseen.cases.case_figure("pooled", "discs", False, case, SILENT, unseen.cases.annotated_kinds([case]))
    assert (told.union, told.label, told.discs, told.anatomy) == (None, None, 1.0, "")
    assert unseen.cases.annotated_kinds([case]) == {Kind.DISC}


def test_the_table_counts_each_source_seen_and_unseen_apart_and_all_together(unseen: Scripts) -> None:
    shifted, empty = spine({place: place + 2 for place in range(5)}), np.zeros_like(FIVE)
    cases = [figure(unseen, FIVE), figure(unseen, shifted), figure(unseen, empty, source="ffe")]
    rows = unseen.cases.summarise([*cases, figure(unseen, FIVE, seen=True)])
    assert [(row.source, row.seen, len(row.cases)) for row in rows] == [
        ("t2", False, 2),
        ("ffe", False, 1),
        ("all", False, 3),
        ("t2", True, 1),
    ]
    counts = ("right", "silently wrong", "flagged wrong", "flagged right", "no vertebra", "of these silent")
    assert [rows[2].cells[name] for name in counts] == [1, 1, 0, 0, 1, 1]
    assert rows[2].cells["union"] == pytest.approx(2 / 3)
    assert rows[2].cells["lowest"] == 0
    assert "| pooled | all | unseen | bodies | 3 | 0.667 | 0.000 |" in unseen.cases.summary_table(rows).as_markdown()
    assert unseen.cases.looked_at_lines(rows, {"ffe-1_t2"})[1] == "pooled, ffe, unseen: 1_t2*"
    assert unseen.cases.cases_csv(cases, {"ffe-1_t2"}).splitlines()[3].endswith(",yes")


def test_two_columns_take_ambiguous_alone_for_a_flag(unseen: Scripts) -> None:
    shifted = spine({place: place + 2 for place in range(5)})
    odd = {**SILENT, "implausible": ["the canal lies in pieces"]}
    cases = [figure(unseen, answer, report=report) for answer in (FIVE, shifted) for report in (SILENT, FLAGGED, odd)]
    assert [case.flags for case in cases[:3]] == [(), (FLAGGED["ambiguous"],), ("the canal lies in pieces",)]
    cells = unseen.cases.summarise(cases)[0].cells
    columns = ("right", "flagged right", "silently wrong", "flagged wrong", "wrong, not ambiguous", "right, ambiguous")
    assert [cells[name] for name in columns] == [1, 2, 1, 2, 2, 1]


def source(scripts: Scripts, name: str, *ids: str, scheme: str = "bodies") -> object:
    cases = tuple(Case(i, (Path(f"{i}.mha"),), None, i.split("_", maxsplit=1)[0], "t2", "training", None) for i in ids)
    return scripts.runs.Source(name, Path(name), scheme, SCHEMES[scheme], cases)


def test_a_line_that_is_done_is_kept_and_other_settings_are_refused(unseen: Scripts, tmp_path: Path) -> None:
    calls = []

    def measure() -> list[object]:
        calls.append(1)
        return [figure(unseen, FIVE), figure(unseen, None)]

    for _ in range(2):
        unseen.main.kept(tmp_path / "pooled" / "fold_0", {"minutes": 1, "cases": ("a",)}, measure)
    assert calls == [1]
    with pytest.raises(SystemExit, match=r"was begun with other settings \(minutes\)"):
        unseen.main.kept(tmp_path / "pooled" / "fold_0", {"minutes": 2, "cases": ("a",)}, measure)
    text = unseen.main.write_tables(tmp_path, None)
    assert "pooled" in text
    lines = json.loads((tmp_path / "unseen.json").read_text())["lines"]
    assert [case["outcome"] for case in lines[0]["cases"]] == ["right", "no vertebra, silent"]
    assert (tmp_path / "unseen.csv").read_text().splitlines()[1].startswith("pooled,t2,unseen,bodies,2,0.5,0,0.5,")
    assert "Looked at, pooled, t2, unseen: 1_t2, 1_t2." in (tmp_path / "unseen.md").read_text()


def test_trainings_get_every_other_source_and_start_from_nothing(
    unseen: Scripts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(unseen.runs, "logged", lambda folder, line: ran.append(line[3:]))
    monkeypatch.setattr(unseen.runs, "command", lambda name, *words: ["python", "-c", name, name, *map(str, words)])
    monkeypatch.setattr(unseen.main, "tested", lambda fold, *rest: [])
    monkeypatch.setattr(sys, "argv", ["unseen", "data", "work", "--phantoms", "0", "--minutes", "2.5"])
    sources = {
        "t2": source(unseen, "t2", "5_t2"),
        "ffe": source(unseen, "ffe", "1_t1"),
        "spider": source(unseen, "spider", "7_t2", scheme="spider"),
    }
    unseen.main.measure_left_out(sources, "t2", unseen.main.make_options(), tmp_path)
    plan, train = (" ".join(words) for words in ran)
    assert "--labels ffe=bodies spider=spider --plans 2d_sagittal" in plan
    assert plan.endswith("--init-from none")
    assert "/t2 " not in plan
    assert "--minutes 2.5" in train
    assert "--recipe robust" in train
    assert "--fold all --init-from none" in train


def test_cases_of_a_file_are_those_that_it_names(unseen: Scripts, tmp_path: Path) -> None:
    sources = {"t2": source(unseen, "t2", "5_t2", "6_t2"), "mixed": source(unseen, "mixed", "6_t2", "9_t2")}
    listed = tmp_path / "cases.txt"
    listed.write_text("t2-6_t2\n\n9_t2\n")
    assert unseen.main.wanted_ids(listed, sources) == {"t2": {"6_t2"}, "mixed": {"9_t2"}}
    assert unseen.main.wanted_ids(None, sources)["mixed"] == {"6_t2", "9_t2"}
    for word, problem in (("6_t2", "several cases"), ("ffe-6_t2", "no case")):
        listed.write_text(word)
        with pytest.raises(SystemExit, match=problem):
            unseen.main.wanted_ids(listed, sources)


def test_a_patient_whose_other_series_was_trained_on_is_seen(unseen: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    t2, mixed = source(unseen, "t2", "5_t1", "5_t2", "6_t2", "7_t2"), source(unseen, "mixed", "5_t1")
    voxels = {name: np.full((2, 3, number), number) for number, name in enumerate(("5_t1", "6_t2", "7_t2", "5_t2"), 1)}
    monkeypatch.setattr(unseen.runs, "read_image", lambda path: SimpleNamespace(array=voxels[path.stem]))
    joint = SimpleNamespace(trained_on=("t2-5_t1", "ffe-6_t2"), seen=())
    assert unseen.runs.seen_cases(t2, [joint]) == {"5_t1", "5_t2"}
    assert unseen.runs.seen_cases(mixed, [joint]) == set()
    alone = SimpleNamespace(trained_on=("5_t1",), seen=())
    assert unseen.runs.seen_cases(mixed, [alone]) == {"5_t1"}  # by its name alone
    scans = (
        SeenScan("5_t1", "other", (9, 30, 30)),  # another scan of that name
        SeenScan("renamed", checksum(voxels["7_t2"]), (2, 3, 3)),
        SeenScan("copy-6_t2", "cropped", (9, 3, 2)),
        SeenScan("6_t2", "cropped", (9, 3, 2)),
    )
    card = SimpleNamespace(trained_on=("5_t1",), seen=scans[:3])
    assert unseen.runs.seen_cases(t2, [card]) == {"7_t2"}
    assert unseen.runs.seen_cases(t2, [card, SimpleNamespace(trained_on=(), seen=scans[3:])]) == {"7_t2", "6_t2"}


def test_a_model_that_knows_no_bodies_is_not_scored_on_them(unseen: Scripts) -> None:
    card = SimpleNamespace(scheme=SCHEMES["spider"])
    with pytest.raises(SystemExit, match="knows no vertebral bodies, which t2 annotates"):
        unseen.runs.check_answers([card], source(unseen, "t2", "5_t2"), "model")
    unseen.runs.check_answers([card], source(unseen, "spider", "5_t2", scheme="spider"), "model")


def test_masks_that_begin_at_s1_are_read_so(unseen: Scripts, tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / "mixed" / folder).mkdir(parents=True)
        (tmp_path / "mixed" / folder / "2_t2.mha").touch()
    mixed = unseen.runs.load_source(tmp_path / "mixed", tmp_path, None)
    assert {value: mixed.scheme.anatomies[value].key for value in (1, 2, 8)} == {1: "sacrum", 2: "body:1", 8: "body:7"}
    assert mixed.answer == "bodies"


def overview(folder: Path) -> Path:
    path = folder / "overview.csv"
    rows = ("1_t1,7,7", "1_t2,8,7", "2_t2,6,6")
    tail = ',"[.5, 0.625]",4.4,4.0'
    header = "new_file_name,num_vertebrae,num_discs,PixelSpacing,SpacingBetweenSlices,SliceThickness\n"
    path.write_text(header + "".join(f"{row}{tail}\n" for row in rows))
    return path


def test_slices_have_the_spacing_and_the_counts_of_their_series(unseen: Scripts, tmp_path: Path) -> None:
    from PIL import Image

    from autospine.volumes import read_image

    for name in ("1_t1", "1_t2_SPACE", "2_t2"):
        Image.fromarray(np.arange(12, dtype=np.uint8).reshape(4, 3)).convert("RGB").save(tmp_path / f"{name}.png")
    slices = unseen.slices.find_slices(tmp_path, overview(tmp_path), without=["2"])
    assert [one.id for one in slices] == ["1_t1", "1_t2_SPACE"]
    assert [(one.own, one.patient) for one in slices] == [((7, 7), ((7, 7), (8, 7))), (None, ((7, 7), (8, 7)))]
    volume = read_image(unseen.slices.write_slice(slices[0], tmp_path / "images"))
    assert volume.spacing == pytest.approx((4.4, 0.5, 0.625))
    assert volume.array.tolist() == np.arange(12).reshape(1, 4, 3).tolist()
    with pytest.raises(SystemExit, match="no series of patient 3"):
        Image.new("L", (3, 4)).save(tmp_path / "3_t1.png")
        unseen.slices.find_slices(tmp_path, tmp_path / "overview.csv")


@pytest.mark.parametrize(
    ("counted", "within_one", "any_series", "exact"),
    [
        ((7, 7), True, True, True),
        ((6, 8), True, True, False),
        ((9, 7), False, True, False),
        ((7, 5), False, False, False),
    ],
)
def test_a_slice_is_right_within_one_of_both_counts(
    unseen: Scripts, counted: tuple[int, int], within_one: bool, any_series: bool, exact: bool
) -> None:
    one = unseen.slices.Slice("1_t1", Path("1_t1.png"), (4.0, 1.0, 1.0), (7, 7), ((7, 7), (8, 7)))
    keys = [*("vertebra:1" for _ in range(counted[0])), *("disc:1" for _ in range(counted[1]))]
    told = unseen.slices.SliceFigure.of(one, {**FLAGGED, "labels": [{"anatomy": key} for key in keys]})
    assert (told.counted, told.ambiguous) == (counted, True)
    assert (told.within_one, told.any_series, told.exact) == (within_one, any_series, exact)
    assert unseen.slices.SliceFigure.from_dict(json.loads(json.dumps(unseen.slices.plain([told])[0]))) == told


def test_vertebrae_and_discs_of_a_report_are_counted_and_an_empty_answer_is_shown(unseen: Scripts) -> None:
    keys = ("vertebra:1", "vertebra:2", "partial vertebra:3", "disc:1", "canal")
    assert unseen.slices.count_labels({"labels": [{"anatomy": key} for key in keys]}) == (3, 1)
    one = unseen.slices.Slice("1_t1", Path("1_t1.png"), (4.0, 1.0, 1.0), (7, 7), ((7, 7),))
    empty, discs = {**SILENT, "implausible": ["the mask is empty"], "labels": []}, {"labels": [{"anatomy": "disc:1"}]}
    figures = [unseen.slices.SliceFigure.of(one, report) for report in (empty, {**SILENT, **discs})]
    table = unseen.slices.slice_table(figures, "box")
    assert table.note == "Without a vertebra: 2, of these silent: 1. Flagged: 1, as ambiguous: 0."
    assert table.rows[-1][-3:] == ("0 of 2", "0 of 2", "0 of 2")


def test_patients_of_a_data_set_are_left_out(unseen: Scripts, tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "5_t2_SPACE.mha").touch()
    assert unseen.main.left_out([str(tmp_path), "146"]) == {"5", "146"}
