"""Sagittal slices, one by one: the plan for thick-slice lumbar series."""

from __future__ import annotations

from autospine.planning.planner import Planner


class Sagittal2D(Planner):
    """Segment every sagittal slice on its own, with the spine's whole length in view."""

    name = "2d_sagittal"
    view_axis = 0
