"""SPIDER's two tables for a phantom set: overview.csv and radiological_gradings.csv."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from autospine.core.tables import csv_text
from autospine.phantom.case import PhantomCase
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
TIMES = {"t1": ("11.0", "600.0"), "t2": ("110.0", "3500.0"), "t2_SPACE": ("130.0", "1500.0")} | {
    "tirm": ("60.0", "4000.0"),
    "t2_water": ("100.0", "3500.0"),
    "t1_ffe": ("4.6", "9.5"),
}  # echo, repetition


def overview_row(case: PhantomCase, seed: int, cases: int) -> dict[str, str]:
    """Return a row of overview.csv; what a phantom knows nothing of stays empty, as in SPIDER."""
    series = case.series
    between_slices, between_rows, between_columns = case.spacing
    vendor = int(generator(seed, series.patient, 77).choice(3, p=[share for *_, share in VENDORS]))
    manufacturer, model, strength, _ = VENDORS[vendor]
    volumetric = series.sequence == "t2_SPACE"
    thickness = between_slices if volumetric else between_slices / 1.1
    return {
        "new_file_name": case.id,
        "num_vertebrae": str(len(case.vertebrae)),
        "num_discs": str(len(case.discs)),
        "sex": ("M" if case.spine.male else "F") + (" " if vendor else ""),  # trailing blanks as in SPIDER
        "subset": subset(series.patient, cases),
        "BodyPartExamined": "LSPINE",
        "EchoTime": TIMES[series.sequence][0],
        "MRAcquisitionType": "3D" if volumetric else "2D",
        "MagneticFieldStrength": strength,
        "Manufacturer": manufacturer,
        "ManufacturerModelName": f"{model} (phantom)",
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelSpacing": f"[{between_rows:g}, {between_columns:g}]",
        "RepetitionTime": TIMES[series.sequence][1],
        "SamplesPerPixel": "1",
        "ScanningSequence": "SE",
        "SeriesDescription": f"phantom {series.sequence}",
        "SliceThickness": f"{thickness:.4g}",
        "SpacingBetweenSlices": f"{between_slices:.4g}",
    }


def grading_rows(case: PhantomCase) -> list[dict[str, str]]:
    """Return the gradings of the labelled discs, read off the shapes that were drawn."""
    labelled, rows = case.discs, []
    for disc in case.spine.discs:
        if disc.level in labelled:
            herniated, narrow, bulging = disc.bulge > 3, disc.grade >= 4, 1.5 < disc.bulge <= 3
            values = (disc.level, disc.modic, 0, 0, 0, int(herniated), int(narrow), int(bulging), disc.grade)
            rows.append(dict(zip(GRADINGS, map(str, (case.series.patient, *values)), strict=True)))
    return rows


def to_csv(columns: Sequence[str], rows: Iterable[dict[str, str]]) -> str:
    """Return CSV text; what a row lacks stays empty."""
    return csv_text(columns, ([row.get(column, "") for column in columns] for row in rows))
