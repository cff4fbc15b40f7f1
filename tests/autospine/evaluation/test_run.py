from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from autospine.core.errors import UserError
from autospine.evaluation.cohort import Evaluation
from autospine.evaluation.mask_pair import MaskPair
from autospine.evaluation.methods import MethodComparison
from autospine.evaluation.report.json_summary import SCHEMA
from autospine.evaluation.report.text import as_text, save
from autospine.evaluation.run import EvaluateRequest, evaluate
from autospine.labels.schemes import SCHEMES, LabelScheme
from autospine.metrics.surface import diagonal
from tests.paths import SHARED

SHAPE, SPACING = (3, 12, 8), (4.0, 1.0, 0.5)
DATA = SHARED / "data"


def spine() -> np.ndarray:
    """L4, a disc, L5, a canal."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[:, 1:4, 1:5], mask[:, 4:6, 1:5], mask[:, 6:10, 1:5], mask[:, 1:10, 6] = 2, 202, 1, 100
    return mask


def write(path: Path, mask: np.ndarray, spacing: tuple[float, ...] = SPACING) -> None:
    """A sagittal file: axes towards the patient's left, feet and back, as the canonical array."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(mask.transpose(1, 2, 0))  # (rows, columns, slices) is (z, y, x)
    image.SetSpacing((spacing[0], spacing[2], spacing[1]))
    image.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, -1))
    sitk.WriteImage(image, str(path))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two cases: the first perfect, the second with its disc missing."""
    for id_ in ("1_t2", "2_t1"):
        write(tmp_path / "ref" / f"{id_}.mha", spine())
    write(tmp_path / "pred" / "1_t2.mha", spine())
    write(tmp_path / "pred" / "2_t1.nii.gz", np.where(spine() == 202, 0, spine()))
    return tmp_path / "pred", tmp_path / "ref"


def means(evaluation: Evaluation) -> dict[str, float]:
    return {label.name: label.means["dice"] for label in evaluation.labels}


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "autospine.commands.evaluate", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def score_folder(
    prediction: Path,
    reference: Path,
    pred_scheme: LabelScheme | None = None,
    ref_scheme: LabelScheme | None = None,
    workers: int = 1,
) -> Evaluation:
    names = (scheme and scheme.name for scheme in (pred_scheme, ref_scheme))
    return evaluate(EvaluateRequest(prediction, reference, (), *names, workers=workers)).first


def table(evaluation: Evaluation) -> str:
    return as_text(MethodComparison((evaluation,)))


def test_means(folders: tuple[Path, Path]) -> None:
    evaluation = score_folder(*folders)
    assert means(evaluation) == {
        "L5": 1.0,
        "L4": 1.0,
        "L4/L5 disc": 0.5,
        "spinal canal": 1.0,
        "all vertebrae": 1.0,
        "all discs": 0.5,
    }
    assert [case.id for case in evaluation.cases] == ["1_t2", "2_t1"]
    assert [case.mean("dice") for case in evaluation.cases] == [1.0, 0.75]
    assert evaluation.overall("dice") == pytest.approx(3.5 / 4)
    disc = evaluation.labels[2]
    assert disc.means["hd95_mm"] == pytest.approx(diagonal(SHAPE, SPACING) / 2)
    assert disc.deviations["dice"] == pytest.approx(0.5**0.5)


def test_processes_change_nothing(folders: tuple[Path, Path]) -> None:
    for copy in range(3, 6):
        write(folders[1] / f"{copy}_t2.mha", spine())
        write(folders[0] / f"{copy}_t2.mha", np.roll(spine(), 1, 1))
    assert table(score_folder(*folders, workers=2)) == table(score_folder(*folders))


def test_a_missing_prediction_scores_nothing(folders: tuple[Path, Path]) -> None:
    write(folders[1] / "3_t2.mha", spine())
    write(folders[0] / "9_t2.mha", spine())
    evaluation = score_folder(*folders)
    assert evaluation.missing == ("3_t2",) and evaluation.extra == ("9_t2",)
    for metric in ("dice", "iou", "f1", "precision", "recall", "accuracy", "nsd", "reference_surface_recall"):
        assert evaluation.cases[2].mean(metric) == 0, metric
    for metric in ("asd_mm", "asd_prediction_mm", "asd_reference_mm", "hd_mm", "hd95_mm"):
        assert evaluation.cases[2].mean(metric) == pytest.approx(diagonal(SHAPE, SPACING)), metric
    assert means(evaluation)["L5"] == pytest.approx(2 / 3)
    assert "No prediction (scored 0): 3_t2" in table(evaluation)
    assert "9_t2" in table(evaluation)


def test_what_is_absent_in_both_enters_no_mean(folders: tuple[Path, Path]) -> None:
    without = np.where(spine() == 100, 0, spine())
    write(folders[0] / "3_t2.mha", without)
    write(folders[1] / "3_t2.mha", without)
    evaluation = score_folder(*folders)
    canal = next(label for label in evaluation.labels if label.name == "spinal canal")
    assert (canal.cases, canal.absent, canal.means["dice"]) == (2, 1, 1.0)
    score = next(score for score in evaluation.cases[2].scores if score.name == "spinal canal")
    assert math.isnan(score.dice) and score.presence.value == "absent in both"
    assert "absent" in table(evaluation)


def test_kinds_without_annotation_are_listed_and_not_scored(folders: tuple[Path, Path]) -> None:
    """Vertebrae alone are annotated; canal and discs of the prediction are no errors, a level too many is."""
    for path in folders[1].iterdir():
        write(path, np.where(spine() == 1, spine(), 0))
    evaluation = score_folder(*folders)
    assert means(evaluation) == pytest.approx({"L5": 1.0, "L4": 0.0, "all vertebrae": 8 / 11})
    assert [str(one) for one in evaluation.unmatched_labels] == [
        "L4 (only in the prediction, scored 0)",
        "L4/L5 disc (only in the prediction, not scored)",
        "spinal canal (only in the prediction, not scored)",
    ]


def test_schemes_that_cannot_express_everything(folders: tuple[Path, Path]) -> None:
    evaluation = score_folder(*folders, SCHEMES["spider"], SCHEMES["spider"])
    for path in folders[0].iterdir():
        write(path, np.where(spine() == 2, 4, np.where(spine() == 1, 5, 0)))  # lumbar7: 4 is L4, 5 is L5
    evaluation = score_folder(*folders, pred_scheme=SCHEMES["lumbar7"])
    assert means(evaluation) == {"L5": 1.0, "L4": 1.0, "all vertebrae": 1.0}
    assert [str(one) for one in evaluation.unmatched_labels] == [
        "L4/L5 disc (only in the reference, not scored)",
        "spinal canal (only in the reference, not scored)",
    ]


def test_dataset_json_names_the_scheme(folders: tuple[Path, Path], tmp_path: Path) -> None:
    own = {"labels": {"7": "vertebra:1", "8": "vertebra:2"}}
    (tmp_path / "ref" / "masks").mkdir()
    for path in list(folders[1].glob("*.mha")):
        write(path.parent / "masks" / path.name, np.where(spine() == 1, 7, np.where(spine() == 2, 8, 0)))
        path.unlink()
    (tmp_path / "ref" / "dataset.json").write_text(json.dumps(own))
    evaluation = score_folder(*folders, pred_scheme=SCHEMES["spider"])
    assert means(evaluation) == {"L5": 1.0, "L4": 1.0, "all vertebrae": 1.0}


def test_the_report_of_a_prediction_names_the_scheme(folders: tuple[Path, Path]) -> None:
    """1, 2 and 3 would be SPIDER's lowest vertebrae."""
    mask = spine()
    for path in folders[0].iterdir():
        write(path, np.select([np.isin(mask, (1, 2)), mask == 100, mask == 202], [1, 2, 3]))
    assert score_folder(*folders).pred_scheme == "spider"
    report = folders[0] / "1_t2.json"
    report.write_text(json.dumps({"autospine": "0.1.0", "scheme": "semantic4"}))
    evaluation = score_folder(*folders)
    assert evaluation.pred_scheme == "semantic4"
    assert means(evaluation) == {"all vertebrae": 1.0, "all discs": 1.0, "spinal canal": 1.0}
    labels = {"1": "body", "2": "canal", "3": "disc"}
    report.write_text(json.dumps({"autospine": "0.1.0", "scheme": "joint", "scheme_labels": labels}))
    evaluation = score_folder(*folders)
    assert evaluation.pred_scheme == "joint"
    assert means(evaluation) == {"all discs": 1.0, "spinal canal": 1.0}
    report.write_text(json.dumps({"scheme": "semantic4"}))  # of another tool
    assert score_folder(*folders).pred_scheme == "spider"


def test_the_report_of_a_prediction_tells_whether_it_was_flagged(folders: tuple[Path, Path]) -> None:
    (folders[0] / "1_t2.json").write_text(json.dumps({"autospine": "0.1.0", "ambiguous": "the image ends"}))
    (folders[0] / "2_t1.json").write_text("{")  # whatever that is
    cases = evaluate(EvaluateRequest(*folders)).first.cases
    assert [case.ambiguous for case in cases] == ["the image ends", None]


def test_integers_that_mean_nothing_known(folders: tuple[Path, Path]) -> None:
    for folder in folders:
        for path in folder.iterdir():
            write(path, np.where(spine() == 1, 77, 0))
    evaluation = score_folder(*folders)
    assert evaluation.ref_scheme == "plain" and means(evaluation) == {"structure 77": 1.0}


def test_a_stray_integer_that_decides_the_scheme_is_named(
    folders: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    mask = np.kron(spine(), np.ones((1, 4, 4), np.uint8))
    for id_ in ("1_t2", "2_t1"):
        write(folders[1] / f"{id_}.mha", mask)
    mask[0, 0, 0] = 77
    write(folders[0] / "1_t2.mha", mask)
    scored = evaluate(EvaluateRequest(*folders)).first
    assert scored.ref_scheme == "plain"
    assert "1_t2.mha: holds 77 (1 voxels), which the scheme spider lacks" in caplog.text


def test_a_negative_ignore_label_counts_where_it_is_declared(folders: tuple[Path, Path]) -> None:
    mask = spine().astype(np.int16)
    mask[mask == 202] = -1  # nobody annotated the disc that the second prediction lacks
    write(folders[1] / "2_t1.mha", mask)
    problem = (
        'label -1 (24 voxels); number the labels from 0, or, if nobody annotated there, declare "ignore_label": -1'
    )
    assert problem in evaluate(EvaluateRequest(*folders)).first.failures[0]
    labels = {"1": "vertebra:1", "2": "vertebra:2", "202": "disc:2", "100": "canal"}
    (folders[1] / "dataset.json").write_text(json.dumps({"labels": labels, "ignore_label": -1}))
    scored = evaluate(EvaluateRequest(*folders)).first
    assert not scored.failures and scored.cases[1].mean("dice") == 1


def test_different_grids_are_named_and_the_others_finish(folders: tuple[Path, Path]) -> None:
    write(folders[0] / "1_t2.mha", spine(), (5.0, 1.0, 0.5))
    result = run(*folders)
    assert result.returncode == 2
    assert "1_t2.mha: lies on another grid than" in result.stderr and str(folders[1] / "1_t2.mha") in result.stderr
    assert "Scores of 1 case" in result.stdout and "Traceback" not in result.stderr


def test_a_mask_on_another_grid_can_be_resampled(folders: tuple[Path, Path], tmp_path: Path) -> None:
    fine = np.kron(spine(), np.ones((1, 2, 2), np.uint8))
    for id_ in ("1_t2", "2_t1"):
        write(folders[1] / f"{id_}.mha", fine, (4.0, 0.5, 0.25))
    half = sitk.ReadImage(str(folders[0] / "1_t2.mha"))
    half.SetOrigin([0, 0.125, -0.25])  # the same space: centres of 2 x 2 pixels
    sitk.WriteImage(half[:, :, :], str(folders[0] / "1_t2.mha"))
    (folders[0] / "2_t1.nii.gz").unlink()
    (line,) = evaluate(EvaluateRequest(*folders)).first.failures
    assert "size 3 x 12 x 8 against 3 x 24 x 16; bring it to the reference's grid, or give --resample" in line
    asked = EvaluateRequest(*folders, resample=True, output=tmp_path / "out")
    scored = evaluate(asked).first
    assert scored.resampled == ("1_t2",) and not scored.failures and scored.cases[0].mean("dice") == 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert "by nearest neighbour" in page and "<img" in page
    half.SetOrigin([500, 0, 0])
    sitk.WriteImage(half, str(folders[0] / "1_t2.mha"))
    assert "1_t2.mha: lies outside of" in evaluate(EvaluateRequest(*folders, resample=True)).first.failures[0]
    with pytest.raises(UserError, match="--resample: does not go with --protocol spider"):
        evaluate(EvaluateRequest(*folders, protocol="spider", resample=True))


def test_unreadable_files_are_named_and_the_others_finish(folders: tuple[Path, Path]) -> None:
    (folders[0] / "1_t2.mha").write_bytes(b"ObjectType = Image\n")
    evaluation = score_folder(*folders)
    assert len(evaluation.failures) == 1 and "1_t2.mha" in evaluation.failures[0]
    assert [case.id for case in evaluation.cases] == ["2_t1"]


def test_labels_outside_a_named_scheme(folders: tuple[Path, Path]) -> None:
    evaluation = score_folder(*folders, pred_scheme=SCHEMES["lumbar7"])
    assert "holds the label 100, which the scheme lumbar7 lacks" in evaluation.failures[0]


def test_two_files(folders: tuple[Path, Path], tmp_path: Path) -> None:
    write(tmp_path / "anything.nrrd", spine())
    evaluation = score_folder(tmp_path / "anything.nrrd", folders[1] / "2_t1.mha")
    assert [case.id for case in evaluation.cases] == ["2_t1"] and evaluation.overall("dice") == 1


@pytest.mark.parametrize("problem", ["nothing", "other names", "no common anatomy"])
def test_wrong_folders_are_user_errors(folders: tuple[Path, Path], tmp_path: Path, problem: str) -> None:
    if problem == "nothing":
        with pytest.raises(UserError, match="does not exist"):
            score_folder(tmp_path / "none", folders[1])
    elif problem == "other names":
        write(tmp_path / "odd" / "5.mha", spine())
        with pytest.raises(UserError, match="shares no case id"):
            score_folder(tmp_path / "odd", folders[1])
    else:
        (tmp_path / "canal.json").write_text('{"labels": {"100": "canal"}}')
        request = EvaluateRequest(*folders, pred_labels=str(tmp_path / "canal.json"), ref_labels="lumbar7")
        with pytest.raises(UserError, match=r"share no anatomy.*check --pred-labels"):
            evaluate(request)


@pytest.mark.parametrize("schemes", [("spider", "bodies"), ("bodies", "spider"), ("bodies", "semantic4")])
def test_bodies_against_whole_vertebrae_are_refused(folders: tuple[Path, Path], schemes: tuple[str, str]) -> None:
    with pytest.raises(UserError, match="bodies are no whole vertebrae: predict with --labels bodies"):
        score_folder(*folders, *(SCHEMES[name] for name in schemes))


def test_a_prediction_in_parts_is_scored_against_bodies_and_against_whole_vertebrae(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """L5 has a body and posterior elements behind the canal; a reference of bodies has no other structures."""
    parts = np.where(spine() == 1, 301, np.where(spine() == 2, 302, spine().astype(np.uint16)))
    parts[:, 7:9, 7] = 401
    write(tmp_path / "parts" / "1_t2.mha", parts)
    whole = spine()
    whole[:, 7:9, 7] = 1
    write(tmp_path / "whole" / "1_t2.mha", whole)
    write(tmp_path / "bodies" / "1_t2.mha", np.where(spine() < 100, spine(), 0))
    against_whole = score_folder(tmp_path / "parts", tmp_path / "whole", SCHEMES["parts"], SCHEMES["spider"])
    assert means(against_whole) == dict.fromkeys(
        ("L5", "L4", "L4/L5 disc", "spinal canal", "all vertebrae", "all discs"), 1.0
    )
    assert [(one.kind.value, one.detected, one.identified) for one in against_whole.cases[0].instances] == [
        ("vertebra", 2, 2),
        ("disc", 1, 1),
    ]
    against_bodies = score_folder(tmp_path / "parts", tmp_path / "bodies", SCHEMES["parts"], SCHEMES["bodies"])
    assert means(against_bodies) == dict.fromkeys(("L5 body", "L4 body", "all vertebral bodies"), 1.0)
    listed = [str(one) for one in against_bodies.unmatched_labels]
    assert "L5 posterior elements (only in the prediction, not scored)" in listed
    assert [one.kind.value for one in against_bodies.cases[0].instances] == ["body"]


def test_files(folders: tuple[Path, Path], tmp_path: Path) -> None:
    write(folders[1] / "3_t2.mha", np.where(spine() == 100, 0, spine()))
    evaluation = score_folder(*folders)
    save(MethodComparison((evaluation,)), tmp_path / "out" / "scores")
    made = tmp_path / "out" / "scores"
    assert sorted(path.name for path in made.iterdir()) == [
        *("cases.csv", "instances.csv", "labels.csv", "summary.json", "summary.md")
    ]
    summary = json.loads((made / "summary.json").read_text())
    assert summary["schema"] == SCHEMA and summary["missing_predictions"] == ["3_t2"]
    assert summary["overall"]["dice"] == pytest.approx(evaluation.overall("dice"))
    assert [label["anatomy"] for label in summary["labels"]][:3] == ["vertebra:1", "vertebra:2", "disc:2"]
    rows = list(csv.DictReader((made / "cases.csv").read_text().splitlines()))
    assert len(rows) == 3 * len(evaluation.labels)
    assert rows[0]["case"] == "1_t2" and float(rows[0]["dice"]) == 1
    canal = [row for row in rows if row["case"] == "3_t2" and row["anatomy"] == "canal"]
    assert canal[0]["presence"] == "absent in both" and canal[0]["dice"] == ""
    page = (made / "summary.md").read_text()
    assert "| L5 |" in page and "five lumbar vertebrae" in page


@pytest.mark.parametrize("orientation", ["LPS", "ASL", "RPI"])
def test_the_same_voxels_in_another_order_score_the_same(
    folders: tuple[Path, Path], tmp_path: Path, orientation: str
) -> None:
    for path in folders[0].iterdir():
        turned = sitk.DICOMOrient(sitk.ReadImage(str(path)), orientation)
        assert turned.GetDirection() != sitk.ReadImage(str(path)).GetDirection()
        (tmp_path / "turned").mkdir(exist_ok=True)
        sitk.WriteImage(turned, str(tmp_path / "turned" / path.name))
    plain, moved = score_folder(*folders), score_folder(tmp_path / "turned", folders[1])
    assert not moved.failures and table(moved) == table(plain)


def test_a_mirrored_prediction_lies_on_another_grid(folders: tuple[Path, Path]) -> None:
    image = sitk.ReadImage(str(folders[0] / "1_t2.mha"))
    image.SetDirection((1, 0, 0, 0, -1, 0, 0, 0, -1))
    sitk.WriteImage(image, str(folders[0] / "1_t2.mha"))
    (line,) = score_folder(*folders).failures
    assert "1_t2.mha: lies on another grid than" in line and "origin" in line


def test_long_lists_show_the_lowest_cases(folders: tuple[Path, Path]) -> None:
    evaluation = score_folder(*folders)
    many = Evaluation(evaluation.cases * 20, "spider", "spider")
    assert "lowest 10 cases" in table(many) and table(many).count("2_t1") == 10


def test_command(folders: tuple[Path, Path], tmp_path: Path) -> None:
    result = run(*folders, "-o", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "all vertebrae" in result.stdout and (tmp_path / "out" / "summary.json").is_file()
    assert run(folders[0], folders[1], "--ref-labels", "spyder").returncode == 2


def test_help_is_quick() -> None:
    run("--help")
    start = time.perf_counter()
    result = run("--help")
    assert result.returncode == 0 and "--pred-labels" in result.stdout
    heavy = "{'numpy', 'scipy', 'torch'} & set(sys.modules)"
    modules = f"import sys, autospine.commands.evaluate; print(sorted({heavy}))"
    loaded = subprocess.run([sys.executable, "-c", modules], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
    assert time.perf_counter() - start < 5


def test_real_masks_against_themselves_moved_by_a_millimetre() -> None:
    folder = DATA / "t2" / "masks"
    if not folder.is_dir():
        pytest.skip("../shared/data/t2 is absent")
    from autospine.evaluation.structures import score_case
    from autospine.volumes import read_mask

    volume = read_mask(sorted(folder.iterdir())[0])
    moved = np.roll(volume.array, 1, axis=1)
    start = time.perf_counter()
    scores = score_case(MaskPair(moved, volume.array, volume.spacing, (SCHEMES["spider"], SCHEMES["spider"])))
    assert time.perf_counter() - start < 3  # about 0.1 s; the bound is for busy machines
    assert len(scores) == 8
    assert all(0.9 < score.dice < 1 and score.hd_mm <= 1.25 + 1e-9 for score in scores)


NAMES = [f"vertebrae_{region}{n}" for region, last in (("L", 5), ("T", 12), ("C", 7)) for n in range(last, 0, -1)]


def with_label_table(path: Path, mask: np.ndarray) -> None:
    """A mask as TotalSegmentator saves one: names of all classes in a header extension."""
    write(path, mask)
    image = nibabel.load(path)
    labels = "\n".join(
        f'<Label Key="{value}" Red="1.0" Green="0.5" Blue="0.0" Alpha="1"><![CDATA[{name}]]></Label>'
        for value, name in enumerate(("sacrum", *NAMES), start=1)
    )
    table = f"<CaretExtension><VolumeInformation><LabelTable>{labels}</LabelTable></VolumeInformation></CaretExtension>"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(0, table.encode()))
    nibabel.save(image, path)


def test_a_label_table_tells_the_scheme(
    folders: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mask = np.select([spine() == 1, spine() == 2], [2, 3], 0).astype(np.uint8)  # L5 and L4 of vertebrae_mr
    with_label_table(tmp_path / "other" / "1_t2.nii.gz", mask)
    scored = evaluate(EvaluateRequest(tmp_path / "other", folders[1])).first
    assert scored.pred_scheme == "totalsegmentator_vertebrae_mr"
    assert [label.means["dice"] for label in scored.labels if not label.all_levels] == [0.5, 0.5]  # one case of two
    assert scored.cases[0].mean("dice") == 1
    asked = EvaluateRequest(tmp_path / "other", folders[1], pred_labels="totalsegmentator")
    assert evaluate(asked).first.cases[0].mean("dice") == 0
    assert "its label table tells totalsegmentator_vertebrae_mr, --pred-labels says totalsegmentator" in caplog.text


def test_a_sixth_lumbar_vertebra_of_spineps(folders: tuple[Path, Path], tmp_path: Path) -> None:
    six = np.select([spine() == 1, spine() == 202, spine() == 2], [25, 124, 24], 0).astype(np.uint8)
    write(tmp_path / "other" / "sub-1_mod-t2_seg-vert_msk.nii.gz", six)
    scored = evaluate(EvaluateRequest(tmp_path / "other", folders[1], pred_labels="spineps")).first
    dice = {score.anatomy.key: score.dice for score in scored.cases[0].scores if not score.all_levels}
    assert dice == {"vertebra:1": 1, "vertebra:2": 1, "disc:2": 1, "canal": 0}
