"""Draw docs/report.png: two views of `report.html` for predictions of phantoms with errors made on purpose.

Needs Chromium or Chrome for the picture; without one the report stays in the folder that `--keep` names.

Run from the repository's root: python benchmarks/draw_report.py [OUT]
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from scipy import ndimage

import autospine
from autospine.volumes import find_volumes, read_mask, write_volume

CASES, SEED = 8, 7
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
VIEW = (1100, 1400)  # pixels


def perturb_outlines(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return labels with outlines moved a little: boundary voxels change to a neighbour's label at random."""
    shifts = rng.integers(-1, 2, size=(3, *labels.shape))
    shifts[0] = 0  # within the slice
    sources = np.clip(np.indices(labels.shape) + shifts * (rng.random(labels.shape) < 0.5), 0, None)
    moved = labels[tuple(np.minimum(source, size - 1) for source, size in zip(sources, labels.shape, strict=True))]
    return ndimage.median_filter(moved, size=(1, 3, 3))


def with_errors(labels: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Return a mask with one kind of error, by the case's number: shifted levels, a wrong one, a missing one, none."""
    predicted = perturb_outlines(labels, rng)
    ordered = (predicted > 0) & (predicted != 100)
    if number == 1:
        predicted[ordered] += 1
    elif number == 2:
        predicted[predicted == 3] = 0
        predicted[predicted == 2] = 3
    elif number == 4:
        predicted[np.isin(predicted, (4, 205))] = 0
    return predicted


def only(section: str, page: Path) -> Path:
    """Write a copy of a page with one of its sections and nothing else."""
    html = page.read_text(encoding="utf-8")
    match = re.search(rf'<section id="{section}".*?</section>', html, re.DOTALL)
    html = html[: html.index("<header")] + "<main>" + (match[0] if match else "")
    copy = page.with_name(f"{section}.html")
    copy.write_text(html, encoding="utf-8")
    return copy


def photograph(page: Path) -> Image.Image:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"no browser takes the picture; the report is {page} (name a folder with --keep)")
    shot = page.with_suffix(".png")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={VIEW[0]},{VIEW[1]}")
    subprocess.run([browser, *options, f"--screenshot={shot}", page.as_uri()], check=True, capture_output=True)
    return Image.open(shot).convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", default=Path("docs/report.png"), help="default: docs/report.png")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="folder for scans, masks and the report")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(TemporaryDirectory()))
        data, predictions = folder / "data", folder / "predictions"
        autospine.write_phantom(data, CASES, SEED)
        rng = np.random.default_rng(0)
        for number, path in enumerate(find_volumes(data / "masks")):
            volume = read_mask(path)
            write_volume(replace(volume, array=with_errors(volume.array, number, rng)), predictions / path.name)
        autospine.evaluate(predictions, data, output=folder / "scores")
        page = (folder / "scores" / "report.html").resolve()
        views = [photograph(page), photograph(only("worst-cases", page))]
        picture = Image.new("RGB", (2 * VIEW[0], VIEW[1]), "white")
        for column, view in enumerate(views):
            picture.paste(view, (column * VIEW[0], 0))
        picture.resize((VIEW[0], VIEW[1] // 2), Image.Resampling.LANCZOS).save(options.out, optimize=True)
    print(f"{options.out}: {options.out.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
