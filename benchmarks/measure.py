"""Measure phantoms whose geometry is known, and time a cohort; or compare predicted with manual masks.

Bars at 1 x 1 x 4 mm: heights biased by less than 0.2 mm with a deviation below 0.6 mm, angles within 1.5 degrees, slips
and canal diameters within 0.6 mm (deviation); figures do not depend on the file's orientation (1e-6); 100 cases of
20 x 448 x 448 in less than 30 s on two cores, pictures apart, each in less than 1 s.

With --agreement, for each figure the limits of agreement (Bland and Altman 1986): the mean of predicted less manual,
and that mean less and plus 1.96 standard deviations. Levels of one patient count as if they were independent.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from autospine.core.tables import Table
from autospine.labels.schemes import SCHEMES
from autospine.measurement.case import CaseMeasures, measure_volume
from autospine.measurement.picture import draw_measurements
from autospine.measurement.run import MeasureRequest, measure_all
from autospine.measurement.tables import GRADES, LEVEL_FIGURES
from autospine.phantom.canvas import Axes, Canvas, Scene
from autospine.phantom.case import ANATOMY, GRID, LEVELS, SPINE
from autospine.phantom.curves import find_lines
from autospine.phantom.grid import choose_grid, spine_columns
from autospine.phantom.render import largest_components, majority_slices
from autospine.phantom.series import Size, find_series, generator
from autospine.phantom.skeleton import paint_spine
from autospine.phantom.spine import sample_spine
from autospine.phantom.tissue import sample_contrast
from autospine.phantom.truth import truth_rows
from autospine.volumes import Geometry, Volume, write_volume

GAP, PIXEL, THIN = 4.0, 1.0, 5  # mm, mm, thin slices in a thick one
SHAPE, COHORT, BAR_S, PICTURE_S = (20, 448, 448), 100, 30.0, 1.0
SPIDER = SCHEMES["spider"]
HEIGHT, OTHER, ANGLE = (0.2, 0.6), (np.inf, 0.6), (np.inf, 1.5)  # bars: bias, deviation
BARS = {
    **{f"{p}{n}_height_mm": HEIGHT for p in ("", "disc_") for n in ("anterior", "middle", "posterior")},
    **dict.fromkeys(("sagittal_tilt_deg", "coronal_tilt_deg", "segmental_lordosis_deg", "disc_angle_deg"), ANGLE),
    **dict.fromkeys(("slip_mm", "canal_diameter_mm", "disc_canal_diameter_mm"), OTHER),
    **dict.fromkeys(("depth_mm", "disc_depth_mm"), (np.inf, np.inf)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spines", type=int, default=25, help="phantom spines (default: 25)")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument(
        "--agreement", nargs=2, type=Path, metavar=("REFERENCE", "PREDICTED"), help="manual and predicted masks"
    )
    parser.add_argument("--labels", help="scheme of both folders' masks (default: found out)")
    options = parser.parse_args()
    if options.agreement:
        print(agreement_table(*(level_values(path, options.labels) for path in options.agreement)).as_text())
        return
    with TemporaryDirectory() as work:
        spines = list(voxelise(options.spines, options.seed))
        errors: dict[str, list[tuple[float, float]]] = {name: [] for name in BARS}
        for volume, truth in spines:
            collect(errors, measure_volume("phantom", volume, SPIDER), truth)
        fair = report(errors)
        fair &= check_orientations(spines[0][0])
        fair &= check_speed(spines, Path(work))
    raise SystemExit(0 if fair else 1)


def level_values(masks: Path, labels: str | None) -> dict[tuple[str, str], Mapping[str, float]]:
    """Return the figures of all levels of all masks, by case and name of the vertebra."""
    result = measure_all(MeasureRequest(masks, labels=labels, pictures=False))
    for failure in result.failures:
        print(f"failed: {failure}")
    return {(case.id, row.keys["name"]): row.values for case in result.cases for row in case.levels}


def agreement_table(
    manual: Mapping[tuple[str, str], Mapping[str, float]], predicted: Mapping[tuple[str, str], Mapping[str, float]]
) -> Table:
    """Return limits of agreement of each figure, over the levels where both masks give it."""
    lines = []
    for name in (definition.name for definition in LEVEL_FIGURES if definition.name not in GRADES):
        both = [key for key in manual if name in manual[key] and name in predicted.get(key, {})]
        if len(both) < 2:
            continue
        differences = np.array([predicted[key][name] - manual[key][name] for key in both])
        bias, deviation = differences.mean(), differences.std(ddof=1)
        limits = f"{bias - 1.96 * deviation:+.2f} to {bias + 1.96 * deviation:+.2f}"
        alone = sum(name in values for values in manual.values()) - len(both)
        lines.append((name, str(len(both)), str(alone), f"{bias:+.2f}", limits, f"{np.abs(differences).max():.2f}"))
    header = ("figure", "levels", "manual alone", "bias", "limits of agreement", "worst")
    return Table("Predicted less manual masks", (header, *lines))


def voxelise(count: int, seed: int) -> Iterator[tuple[Volume, Mapping[int, Mapping[str, str]]]]:
    """Yield masks of spines at 1 x 1 x 4 mm, with the figures of the shapes by level."""
    patients: set[int] = set()
    index = 0
    while len(patients) < count:
        series = find_series(seed, index)
        index += 1
        if series.patient in patients:
            continue
        patients.add(series.patient)
        spine = sample_spine(generator(seed, series.patient, ANATOMY), LEVELS)
        lines = find_lines(spine)
        chosen, _ = choose_grid(generator(seed, series.patient, GRID, 0, 0), spine, lines, Size.FULL, False)
        x = np.arange(chosen.x[0], chosen.x[-1] + GAP / 2, GAP, dtype=np.float32)
        z, y = (np.arange(c[0], c[-1], np.sign(c[-1] - c[0]) * PIXEL, dtype=np.float32) for c in (chosen.z, chosen.y))
        axes = Axes(x, z, y)
        columns = spine_columns(axes, lines)
        fine = axes.refine(THIN, columns)
        rng = generator(seed, series.patient, SPINE)
        scene = Scene(Canvas(fine, np.zeros(fine.shape, np.float32)), sample_contrast(rng, "t2"), rng)
        paint_spine(scene, spine, lines, rng, False)
        labels = np.zeros(axes.shape, np.uint8)
        labels[:, :, columns] = majority_slices(scene.labels, THIN)
        labels = largest_components(labels)
        shown = np.unique(labels)
        levels = [tuple(int(v) - low for v in shown if low < v <= low + 25) for low in (0, 200)]
        rows = truth_rows(series.id, spine, *levels)
        yield as_volume(labels, (GAP, PIXEL, PIXEL)), {int(row["level"]): row for row in rows}


def as_volume(
    labels: np.ndarray, spacing: tuple[float, float, float], flips: tuple[int, int, int] = (1, 1, 1)
) -> Volume:
    """Return canonical labels as a volume whose file runs against some of the canonical axes."""
    lps = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]]) * flips
    array = labels[tuple(slice(None, None, flip) for flip in flips)]
    geometry = Geometry(array.shape, spacing, (0.0, 0.0, 0.0), tuple(lps.reshape(-1)))  # type: ignore[arg-type]
    return Volume.from_file_order(array, geometry)


def collect(
    errors: dict[str, list[tuple[float, float]]], case: CaseMeasures, truth: Mapping[int, Mapping[str, str]]
) -> None:
    for level in case.levels:
        for name, found in errors.items():
            figure = level.figures[name]
            if figure.value is not None and name in truth.get(level.ordinal, {}):
                found.append((figure.value - float(truth[level.ordinal][name]), figure.deviation or np.nan))


def report(errors: Mapping[str, list[tuple[float, float]]]) -> bool:
    fair = True
    print(f"{'figure':28} {'n':>4} {'bias':>7} {'sd':>6} {'worst':>6} {'stated':>7} {'in 2 sd':>7}")
    for name, (most_bias, most_deviation) in BARS.items():
        off, stated = np.array(errors[name]).T
        good = abs(off.mean()) < most_bias and off.std() < most_deviation
        fair &= bool(good)
        inside = np.mean(np.abs(off) <= 2 * stated)
        figures = f"{len(off):4d} {off.mean():+7.3f} {off.std():6.3f} {np.abs(off).max():6.2f} {np.median(stated):7.3f}"
        print(f"{name:28} {figures} {inside:7.0%}{'' if good else '  above the bar'}")
    return fair


def check_orientations(volume: Volume) -> bool:
    one = measure_volume("phantom", volume, SPIDER)
    worst = 0.0
    for flips in ((-1, 1, 1), (1, -1, 1), (-1, -1, -1)):
        other = measure_volume("phantom", as_volume(volume.array, (GAP, PIXEL, PIXEL), flips), SPIDER)
        for a, b in zip(one.levels, other.levels, strict=True):
            pairs = [(f.value, b.figures[name].value) for name, f in a.figures.items()]
            worst = max([worst, *(abs(p - q) for p, q in pairs if p is not None and q is not None)])
    print(f"orientations: figures differ by {worst:.1e} at most (bar 1e-6)")
    return worst < 1e-6


def check_speed(spines: list[tuple[Volume, Mapping[int, Mapping[str, str]]]], work: Path) -> bool:
    folder, spacing = work / "cohort", (GAP, 0.7, 0.7)
    for index in range(COHORT):
        labels = np.zeros(SHAPE, np.uint8)
        part = np.repeat(np.repeat(spines[index % len(spines)][0].array, 3, axis=1), 3, axis=2)[:, ::2, ::2]
        size = tuple(min(a, b) for a, b in zip(SHAPE, part.shape, strict=True))
        labels[: size[0], : size[1], : size[2]] = part[: size[0], : size[1], : size[2]]
        write_volume(as_volume(labels, spacing), folder / f"{index + 1}_t2.nii.gz")
    start = time.perf_counter()
    measure_all(MeasureRequest(folder, output=work / "measured", pictures=False, workers=2))
    seconds = time.perf_counter() - start
    case = measure_volume("phantom", spines[0][0], SPIDER)
    image = spines[0][0].array
    draw_measurements(case, image, image, work / "first.png")
    start = time.perf_counter()
    draw_measurements(case, image, image, work / "second.png")
    picture = time.perf_counter() - start
    print(f"{COHORT} cases of {SHAPE}: {seconds:.1f} s (bar {BAR_S:g}); a picture: {picture:.2f} s (bar {PICTURE_S:g})")
    return seconds < BAR_S and picture < PICTURE_S


if __name__ == "__main__":
    main()
