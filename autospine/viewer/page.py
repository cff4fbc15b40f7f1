"""The page: lays out what the other files of this folder make."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from autospine.core.boundary import Boundary
from autospine.core.errors import UserError
from autospine.core.tables import DISCLAIMER
from autospine.inference.segmentation import ASSUMPTION
from autospine.overlay.views import choose_slices
from autospine.viewer.models import PageModels, load_models, offered_models
from autospine.viewer.pictures import draw_slice
from autospine.viewer.segmenting import SegmentedScan, segment_upload
from autospine.viewer.text import escape, remarks, table_rows

KEPT = "segmented"  # in the session: the id of the upload, and its segmentation
BOUNDARY = Boundary("autospine_view")
FORMATS = ".nii.gz, .nii, .mha or .nrrd"


def show(models: tuple[str, ...], device: str) -> None:
    """Draw the page, with a choice of installed models where none is given; Streamlit calls it anew at every click."""
    st.set_page_config(page_title="AutoSpine", layout="wide")
    st.title("AutoSpine")
    st.markdown(f"Segments an MRI of the lumbar spine. **{DISCLAIMER}**")
    problem = BOUNDARY.attempt("the page", partial(_show_page, models), device)
    if problem is not None:
        st.error(escape(str(problem)))


def _show_page(models: tuple[str, ...], device: str) -> None:
    page_models = _page_models(models or _chosen(), device)
    st.caption(escape("Model: " + ", ".join(model.name for model in page_models.models)))
    if unseen := page_models.models[0].not_seen:
        st.caption(escape(f"Its training has not seen: {', '.join(unseen)}."))
    upload = st.file_uploader(f"Scan ({FORMATS}). It stays on this machine.")
    if upload is None:
        st.session_state.pop(KEPT, None)
        return
    segmented = BOUNDARY.attempt(upload.name, partial(_segmented, upload), page_models)
    if isinstance(segmented, UserError):
        raise segmented
    _show(segmented)


def _chosen() -> tuple[str, ...]:
    """Return the folder of an installed model, chosen by the visitor where there are several."""
    offered = {model.name: model for model in offered_models()}
    name = next(iter(offered)) if len(offered) == 1 else st.selectbox("Installed model", list(offered))
    return (str(offered[name].folder),)


@st.cache_resource(show_spinner="Reading the model")
def _page_models(models: tuple[str, ...], device: str) -> PageModels:
    return load_models(models, device)


def _segmented(upload: UploadedFile, models: PageModels) -> SegmentedScan:
    """Segment an upload once, however often the page is drawn."""
    known = st.session_state.get(KEPT)
    if known is None or known[0] != upload.file_id:
        st.session_state.pop(KEPT, None)  # two scans need not be held at once
        with st.spinner(escape(f"Segmenting {upload.name}")):
            known = upload.file_id, segment_upload(upload.name, upload.getvalue(), models)
        st.session_state[KEPT] = known
    return known[1]


def _show(segmented: SegmentedScan) -> None:
    for remark in remarks(segmented.segmentation):
        st.warning(escape(remark))
    _show_downloads(segmented)
    st.subheader("Overview")
    st.image(segmented.overlay)
    st.subheader("Slices")
    _show_slices(segmented)
    st.subheader("Structures")
    _show_table(segmented)


def _show_downloads(segmented: SegmentedScan) -> None:
    files = (("Mask", segmented.mask), ("Report", segmented.report))
    with st.container(horizontal=True):
        for word, file in files:
            st.download_button(f"{word} ({escape(file.name)})", file.content, file.name, on_click="ignore")


def _show_slices(segmented: SegmentedScan) -> None:
    scan, mask, scheme = segmented.scan, segmented.segmentation.mask, segmented.segmentation.scheme
    count = scan.array.shape[0]
    chosen = choose_slices(mask)
    number = chosen[len(chosen) // 2] + 1
    if count > 1:
        number = st.slider("Sagittal slice, from right to left", 1, count, number, key=f"slice of {segmented.id}")
    spacing = scan.spacing[1], scan.spacing[2]
    pictures = draw_slice(scan.array[number - 1], mask[number - 1], spacing, segmented.window, scheme)
    left, right = st.columns(2)
    left.image(pictures.scan, caption=f"Scan, slice {number} of {count}; front is left")
    names = "; the levels are AMBIGUOUS" if segmented.segmentation.ambiguous else ""
    right.image(pictures.mask, caption=f"Mask; colours as in the table{names}")


def _show_table(segmented: SegmentedScan) -> None:
    rows = table_rows(segmented.segmentation)
    if not rows:
        st.caption("Nothing was found.")
        return
    colours = [f"background-color: {row.colour}" for row in rows]
    table = pd.DataFrame(
        {
            "": [""] * len(rows),
            "structure": [row.structure for row in rows],
            "level": ["" if row.level is None else str(row.level) for row in rows],
            "volume (ml)": [row.volume_ml for row in rows],
            "confidence": [row.confidence for row in rows],
            "flags": [row.flags for row in rows],
        }
    )
    st.dataframe(
        table.style.apply(lambda _: colours, subset=[""]).format({"volume (ml)": "{:.2f}", "confidence": "{:.2f}"}),
        hide_index=True,
        width="content",
        height="content",
        column_config={"": st.column_config.Column(width=40), "flags": st.column_config.Column(width=500)},
    )
    st.caption(f"{ASSUMPTION} Confidence, 0 to 1: how sure the level is, and where there is none, the structure.")
