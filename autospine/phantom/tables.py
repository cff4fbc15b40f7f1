"""SPIDER's two tables for a phantom set: overview.csv and radiological_gradings.csv."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from autospine.core.tables import csv_text
from autospine.phantom.case import PhantomCase
from autospine.phantom.placement import ORDERS
from autospine.phantom.series import generator, subset

OVERVIEW = (
    "new_file_name", "num_vertebrae", "num_discs", "sex", "birth_date", "subset", "AngioFlag",
    "BodyPartExamined", "DeviceSerialNumber", "EchoNumbers", "EchoTime", "EchoTrainLength", "FlipAngle",
    "ImagedNucleus", "ImagingFrequency", "InPlanePhaseEncodingDirection", "MRAcquisitionType",
    "MagneticFieldStrength", "Manufacturer", "ManufacturerModelName", "NumberOfPhaseEncodingSteps",
    "PercentPhaseFieldOfView", "PercentSampling", "PhotometricInterpretation", "PixelBandwidth",
    "PixelSpacing", "RepetitionTime", "SAR", "SamplesPerPixel", "ScanningSequence", "SequenceName",
    "SeriesDescription", "SliceThickness", "SoftwareVersions", "SpacingBetweenSlices",
    "SpecificCharacterSet", "TransmitCoilName", "WindowCenter", "WindowWidth",
)  # fmt: skip
GRADINGS = (
    "Patient", "IVD label", "Modic", "UP endplate", "LOW endplate", "Spondylolisthesis", "Disc herniation",
    "Disc narrowing", "Disc bulging", "Pfirrman grade",
)  # fmt: skip
VENDORS = (  # manufacturer, model, field strength, share in SPIDER
    ("SIEMENS", "Skyra_fit", "3.0", 0.53),
    ("Philips Healthcare", "Ingenia", "3.0", 0.40),
    ("Philips Medical Systems", "Intera", "1.5", 0.07),
)
TIMES = {
    "t1": ("11.0", "600.0"),
    "t2": ("110.0", "3500.0"),
    "t2_SPACE": ("130.0", "1500.0"),
}  # echo, repetition


def overview_row(case: PhantomCase, seed: int, cases: int) -> dict[str, str]:
    """One row of overview.csv; what a phantom knows nothing of stays empty, as in SPIDER."""
    series, spacing = case.series, case.placement.spacing
    by_axis = {axis: spacing[i] for i, (axis, _) in enumerate(ORDERS[series.orientation])}
    chance = generator(seed, series.patient, 77)
    pick = int(chance.choice(3, p=[v[3] for v in VENDORS]))
    maker, model, strength, _ = VENDORS[pick]
    volumetric = series.sequence == "t2_SPACE"
    thin = by_axis[0] if volumetric else by_axis[0] / 1.1
    return {
        "new_file_name": case.id,
        "num_vertebrae": str(len(case.vertebrae)),
        "num_discs": str(len(case.discs)),
        "sex": ("M" if case.spine.male else "F") + (" " if pick else ""),  # trailing blanks as in SPIDER
        "subset": subset(series.patient, cases),
        "BodyPartExamined": "LSPINE",
        "EchoTime": TIMES[series.sequence][0],
        "MRAcquisitionType": "3D" if volumetric else "2D",
        "MagneticFieldStrength": strength,
        "Manufacturer": maker,
        "ManufacturerModelName": f"{model} (phantom)",
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelSpacing": f"[{by_axis[1]:g}, {by_axis[2]:g}]",
        "RepetitionTime": TIMES[series.sequence][1],
        "SamplesPerPixel": "1",
        "ScanningSequence": "SE",
        "SeriesDescription": f"phantom {series.sequence}",
        "SliceThickness": f"{thin:.4g}",
        "SpacingBetweenSlices": f"{by_axis[0]:.4g}",
    }


def grading_rows(case: PhantomCase) -> list[dict[str, str]]:
    """The gradings of the labelled discs, read off the shapes that were drawn."""
    rows = []
    for disc in case.spine.discs:
        if disc.level not in case.discs:
            continue
        values = (
            case.series.patient,
            disc.level,
            disc.modic,
            0,
            0,
            0,
            int(disc.bulge > 3),
            int(disc.grade >= 4),
            int(1.5 < disc.bulge <= 3),
            disc.grade,
        )
        rows.append(dict(zip(GRADINGS, map(str, values), strict=True)))
    return rows


def to_csv(columns: Sequence[str], rows: Iterable[dict[str, str]]) -> str:
    """Return CSV text; what a row lacks stays empty."""
    return csv_text(columns, ([row.get(column, "") for column in columns] for row in rows))
