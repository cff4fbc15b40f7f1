"""Draw docs/phantom.png: four phantom series, each without and with its mask's colours.

Run from the repository's root: python benchmarks/draw_phantom.py [OUT]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from autospine.phantom.case import PhantomCase, make_case
from autospine.phantom.series import Size

SEED = 7
WANTED = ("t1", "t2", "t2", "t2_SPACE")


def choose() -> list[PhantomCase]:
    cases, wanted, index = [], list(WANTED), 0
    while wanted:
        case = make_case(SEED, index, Size.FULL)
        if case.series.sequence in wanted:
            wanted.remove(case.series.sequence)
            cases.append(case)
        index += 1
    return sorted(cases, key=lambda c: c.series.sequence)


def coloured(grey: np.ndarray, labels: np.ndarray, alpha: float) -> np.ndarray:
    low, high = np.percentile(grey, [1, 99])
    picture = np.clip((grey - low) / (high - low), 0, 1)[..., None].repeat(3, axis=-1)
    for value in np.unique(labels)[1:]:
        if value == 100:
            colour = (0.25, 0.65, 1.0)
        elif value > 200:
            colour = plt.get_cmap("Set2")((int(value) - 201) % 8)[:3]
        else:
            colour = plt.get_cmap("tab10")((int(value) - 1) % 10)[:3]
        inside = labels == value
        picture[inside] = (1 - alpha) * picture[inside] + alpha * np.array(colour)
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", default=Path("docs/phantom.png"), help="default: docs/phantom.png")
    out = parser.parse_args().out
    figure, axes = plt.subplots(2, 4, figsize=(12, 7), facecolor="black")
    for column, case in enumerate(choose()):
        middle = case.image.shape[0] // 2
        for row, alpha in enumerate((0.0, 0.5)):
            axis = axes[row, column]
            axis.imshow(coloured(case.image[middle], case.labels[middle], alpha), interpolation="bilinear")
            axis.axis("off")
        axes[0, column].set_title(case.id, color="white", fontsize=10)
    figure.subplots_adjust(0, 0, 1, 0.95, 0.02, 0.02)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=68, facecolor="black", pil_kwargs={"optimize": True})
    print(out, out.stat().st_size // 1024, "kB")


if __name__ == "__main__":
    main()
