"""What is measured: every figure's name, unit, definition and source, and how one is held."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite

FROBIN = "Frobin et al. 1997"
GENANT, PANJABI, COBB = "Genant et al. 1993", "Panjabi et al. 1992", "Cobb 1948"
HEIGHT_LIMIT, ANGLE_LIMIT = 1.5, 3.0  # mm, degrees


@dataclass(frozen=True)
class Definition:
    """How a figure is defined."""

    name: str  # of its column; it ends with the unit
    text: str
    source: str
    limit: float = inf  # a standard deviation beyond this makes the figure meaningless

    @property
    def unit(self) -> str:
        """Return the unit, "" for ratios and grades."""
        last = self.name.rpartition("_")[2]
        return {"mm2": "mm²", "deg": "°", "percent": "%"}.get(last, last if last in ("mm", "ml") else "")


@dataclass(frozen=True)
class Figure:
    """A measured value, or the reason why there is none."""

    value: float | None
    deviation: float | None = None  # one standard deviation, from voxels, slice gap and the fit
    reason: str = ""


def known(value: float, deviation: float | None = None) -> Figure:
    """Return a figure with a value."""
    return Figure(float(value), float(deviation) if deviation is not None and isfinite(deviation) else None)


def missing(reason: str) -> Figure:
    """Return a figure without a value."""
    return Figure(None, None, reason)


VERTEBRA = (
    Definition("anterior_height_mm", "distance of the anterior corners of the body", FROBIN, HEIGHT_LIMIT),
    Definition("middle_height_mm", "distance of the endplates midway between the corners", GENANT, HEIGHT_LIMIT),
    Definition("posterior_height_mm", "distance of the posterior corners", FROBIN, HEIGHT_LIMIT),
    Definition("wedge_ratio", "anterior over posterior height", GENANT),
    Definition("biconcavity_ratio", "middle over posterior height", GENANT),
    Definition(
        "genant_suggestion",
        "anterior or middle height short of the posterior by 20 % (1), 25 % (2) or 40 % (3)",
        GENANT,
    ),
    Definition("depth_mm", "mean over both endplates of the distance of anterior and posterior corner", PANJABI, 2.0),
    Definition("width_mm", "extent of the body to the sides, at half its area", PANJABI, 3.0),
    Definition("volume_ml", "of the body's voxels", "voxel count"),
    Definition("sagittal_tilt_deg", "rise of the mean of both endplates to the back", COBB, ANGLE_LIMIT),
    Definition("coronal_tilt_deg", "rise of the mean of both endplates to the left", COBB, ANGLE_LIMIT),
    Definition(
        "segmental_lordosis_deg", "from this upper endplate to the one of the vertebra below", COBB, ANGLE_LIMIT
    ),
    Definition("canal_diameter_mm", "mid-sagittal, across the canal's axis, at the body", "Verbiest 1954", 1.5),
    Definition("canal_area_mm2", "of the canal's section there", "integral of the slices' chords"),
)
DISC = (
    Definition("disc_anterior_height_mm", "at one eighth of the depth from the front", FROBIN, HEIGHT_LIMIT),
    Definition("disc_middle_height_mm", "in the middle of the depth", FROBIN, HEIGHT_LIMIT),
    Definition("disc_posterior_height_mm", "at one eighth of the depth from the back", FROBIN, HEIGHT_LIMIT),
    Definition("disc_dabbs_mm", "mean of anterior and posterior height", "Dabbs and Dabbs 1990", HEIGHT_LIMIT),
    Definition("disc_farfan_index", "sum of anterior and posterior height over the depth", "Farfan 1973"),
    Definition("disc_depth_mm", "from front to back, halfway between the surfaces", FROBIN, 2.0),
    Definition("disc_volume_ml", "of the disc's voxels", "voxel count"),
    Definition("disc_signal_csf", "mean of the disc over the bright part of the canal beside it", "Luoma et al. 2001"),
    Definition(
        "slip_mm",
        "of the vertebra above to the front, between posterior corners, along the endplate below",
        "Taillard 1954",
        1.5,
    ),
    Definition("slip_percent", "the slip as a share of the endplate below", "Taillard 1954"),
    Definition(
        "meyerding_suggestion", "0 below 5 %, then quarters of the endplate, of a slip to the front", "Meyerding 1932"
    ),
    Definition("disc_angle_deg", "between the endplates that face the disc, open to the front", COBB, ANGLE_LIMIT),
    Definition("disc_canal_diameter_mm", "mid-sagittal, across the canal's axis, at the disc", "Verbiest 1954", 1.5),
    Definition("disc_canal_area_mm2", "of the canal's section there", "integral of the slices' chords"),
)
SPINE = (
    Definition("lordosis_deg", "between the endplates that lordosis_between names", COBB, ANGLE_LIMIT),
    Definition("coronal_cobb_deg", "greatest angle of two endplates, seen from the front", COBB, ANGLE_LIMIT),
    Definition(
        "sacral_slope_deg", "of the sacrum's endplate against the scanner's axial plane", "Vialle et al. 2005", 3.0
    ),
    Definition("canal_volume_ml", "of the canal's voxels", "voxel count"),
)


def apply_limit(definition: Definition, figure: Figure, spacing: tuple[float, float, float]) -> Figure:
    """Return the figure, or the reason why it means nothing where its uncertainty is beyond the limit."""
    if figure.value is None or definition.limit == inf:
        return figure
    if figure.deviation is None:
        return missing("cannot be told from so few slices")
    if figure.deviation <= definition.limit:
        return figure
    grid = " x ".join(f"{step:.3g}" for step in spacing)
    unit = definition.unit
    return missing(f"uncertain by {figure.deviation:.1f} {unit} at {grid} mm, more than {definition.limit:g} {unit}")
