"""The page, drawn by Streamlit's own test runner."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("streamlit")

from streamlit.testing.v1 import AppTest

TIME = 20  # seconds that a drawing may take on a busy machine


def script(model: str) -> None:
    from autospine.viewer.page import show

    show((model,), "cpu")


def opened(model: Path) -> AppTest:
    return AppTest.from_function(script, args=(str(model),), default_timeout=TIME).run()


def given(page: AppTest, name: str, content: bytes) -> AppTest:
    page.file_uploader[0].upload(name, content, "application/octet-stream")
    return page.run()


@pytest.fixture
def model(tmp_path: Path, bright) -> Path:
    return bright(tmp_path / "model").folder


@pytest.fixture
def segmented(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were segmented, one by one."""
    from autospine.viewer import page

    names: list[str] = []

    def noting(name: str, content: bytes, loaded: object) -> object:
        names.append(name)
        return kept(name, content, loaded)

    kept = page.segment_upload
    monkeypatch.setattr(page, "segment_upload", noting)
    return names


def test_before_a_scan_is_given_it_says_what_it_is_for(model: Path) -> None:
    page = opened(model)
    assert not page.exception
    assert "For research, not a medical device." in page.markdown[0].value
    assert ".nii.gz" in page.file_uploader[0].label
    assert "brightness" in page.caption[0].value
    assert not page.slider
    assert not page.error


def test_a_scan_is_shown_with_its_slices_table_and_downloads(model: Path, scan) -> None:
    page = given(opened(model), "5_t2.nii.gz", scan("5_t2.nii.gz"))
    assert not page.exception
    assert not page.error
    table = page.dataframe[0].value
    assert list(table["structure"]) == ["spinal canal"]
    assert list(table["level"]) == [""]
    assert table["volume (ml)"][0] > 1
    assert (page.slider[0].min, page.slider[0].max) == (1, 6)
    assert page.slider[0].value in (3, 4)  # where the canal lies
    assert len(page.get("image")) == 3
    labels = [button.label for button in page.get("download_button")]
    assert labels == [r"Mask (5\_t2\_mask.nii.gz)", r"Report (5\_t2.json)"]


def test_moving_the_slider_shows_another_slice_and_segments_nothing_anew(
    model: Path, scan, segmented: list[str]
) -> None:
    page = given(opened(model), "5_t2.mha", scan("5_t2.mha"))
    page.slider[0].set_value(6)
    page.run()
    captions = [caption for image in page.get("image") for caption in image.captions]
    assert "Scan, slice 6 of 6; front is left" in captions
    assert segmented == ["5_t2.mha"]
    given(page, "6_t2.mha", scan("6_t2.mha"))
    assert segmented == ["5_t2.mha", "6_t2.mha"]
    assert page.slider[0].value in (3, 4)


@pytest.mark.parametrize("name", ["notes.txt", "broken.mha", "scan.mhd"])
def test_a_wrong_file_is_one_line_and_the_next_one_is_taken(model: Path, scan, name: str) -> None:
    page = given(opened(model), name, b"nothing of a scan")
    assert not page.exception
    (error,) = page.error
    assert error.value.startswith(f"{name}: ")
    assert "\n" not in error.value
    assert not page.dataframe
    given(page, "5_t2.mha", scan("5_t2.mha"))
    assert not page.error
    assert len(page.dataframe) == 1


def test_warnings_stand_in_words(tmp_path: Path, bright, model: Path, scan) -> None:
    from autospine.inference.model import read_model

    plan = read_model(model).card.plan
    seen = replace(plan.training_domain, spacing_high=(2.0, 4.0, 4.0), sequences=("t1",))
    page = given(
        opened(bright(tmp_path / "narrow", replace(plan, training_domain=seen)).folder), "5_t2.mha", scan("5_t2.mha")
    )
    doubts, said = [warning.value for warning in page.warning]
    assert "No vertebra was found" in doubts
    assert "Spacing from left to right is 4.00 mm" in said
    assert "The sequence t2 was not in the training data" in said


def test_an_empty_answer_is_said_to_be_one(model: Path, tmp_path: Path) -> None:
    import numpy as np

    from tests.tiny import write_array

    flat = write_array(tmp_path / "flat.mha", np.zeros((1, 40, 20), np.float32))
    page = given(opened(model), "flat.mha", flat.read_bytes())
    assert not page.exception
    assert any("Nothing was found" in warning.value for warning in page.warning)
    assert not page.slider  # one slice leaves nothing to choose
    assert not page.dataframe


def test_what_nobody_foresaw_is_one_line(model: Path, scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    from autospine.core.boundary import _temporary
    from autospine.viewer import page as module

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name, case in (("segment_upload", r"5\_t2.mha"), ("draw_slice", "the page")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, lambda *_: 1 // 0)
            _temporary.cache_clear()
            page = given(opened(model), "5_t2.mha", scan("5_t2.mha"))
            _temporary.cache_clear()
        assert not page.exception
        (error,) = page.error
        assert error.value.startswith(f"{case}: autospine\\_view met an unexpected ZeroDivisionError")
    assert len(list(tmp_path.glob("autospine_errors_*.log"))) == 2


def test_ambiguous_levels_stand_beside_the_mask(model: Path, scan, monkeypatch: pytest.MonkeyPatch) -> None:
    from autospine.viewer import page as module

    kept = module.segment_upload

    def flagged(name: str, content: bytes, loaded: object) -> object:
        found = kept(name, content, loaded)
        return replace(found, segmentation=replace(found.segmentation, ambiguous="the image ends there"))

    monkeypatch.setattr(module, "segment_upload", flagged)
    page = given(opened(model), "5_t2.mha", scan("5_t2.mha"))
    assert any("uncertain which level is which: the image ends there" in warning.value for warning in page.warning)
    captions = [caption for image in page.get("image") for caption in image.captions]
    assert "Mask; colours as in the table; the levels are AMBIGUOUS" in captions


def test_a_model_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    page = opened(tmp_path / "nowhere")
    assert not page.exception
    assert "holds no finished model" in page.error[0].value
    assert not page.file_uploader


def test_the_script_takes_the_models_from_its_arguments(model: Path, scan, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from autospine.viewer.server import APP

    monkeypatch.setattr(sys, "argv", [str(APP), "cpu", str(model)])
    page = AppTest.from_file(str(APP), default_timeout=TIME).run()
    assert not page.exception
    assert "brightness" in page.caption[0].value


def chooser() -> None:
    from autospine.viewer.page import show

    show((), "cpu")


def test_without_a_model_the_page_offers_those_that_are_installed(own_models: Path, bright) -> None:
    page = AppTest.from_function(chooser, default_timeout=TIME).run()
    assert "no model is installed" in page.error[0].value
    bright(own_models / "apple")
    page.run()
    assert not page.exception and not page.error and not page.selectbox  # nothing to choose
    bright(own_models / "box")
    page.run()
    assert not page.exception
    assert (page.selectbox[0].value, page.selectbox[0].options) == ("box", ["box", "apple"])
    page.selectbox[0].set_value("apple")
    page.run()
    assert "brightness" in page.caption[0].value
