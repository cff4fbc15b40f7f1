"""The numbers that make one spine: sizes and positions of vertebrae, discs, sacrum, from published means.

World coordinates in mm: x to the left, y to the back, z up; the middle of the sacral endplate is the origin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from autospine.phantom.findings import PLAIN, Findings

Point = tuple[float, float, float]

# Means by height index: 0 = lowest lumbar, 4 = highest lumbar, then the thoracic ones (mm and degrees).
_INDEX = np.arange(11.0)
_MEANS = {
    "width": (52, 50, 47, 44.5, 42, 41, 39, 37, 35, 34, 33),
    "depth": (35, 35.5, 35, 34, 33, 32, 31, 30, 29, 28, 27.5),
    "height": (27.5, 27.8, 27.5, 27, 26.3, 25.3, 24.3, 23.3, 22.3, 21.5, 21),
    "disc": (10, 11.3, 10.8, 9.8, 8.6, 7, 6, 5.4, 5, 4.8, 4.6),
    "pedicle": (7.6, 6.3, 5, 4.3, 4, 4.2, 4, 3.6, 3.2, 3, 3),
    "canal_width": (13.5, 12.5, 12, 11.7, 11.5, 10.5, 9.5, 9, 8.6, 8.5, 8.5),
    "canal_depth": (8.2, 8.2, 8.2, 8.2, 8.2, 7.8, 7.5, 7.2, 7, 7, 7),
    "spinous": (21, 28, 31, 31, 30, 27, 27, 28, 28, 28, 28),
    "spinous_height": (6, 8.2, 9.8, 9.8, 9.2, 7.2, 5.6, 4.8, 4.5, 4.5, 4.5),
    "droop": (14, 10, 8, 8, 10, 16, 28, 38, 45, 48, 50),
    "transverse": (43, 42, 45, 42, 38, 28, 27, 28, 28, 28, 28),
}


@dataclass(frozen=True)
class Frame:
    """A position and its directions: local u to the left, v to the back, w up."""

    origin: np.ndarray  # (3,) world mm
    axes: np.ndarray  # (3, 3): rows are the local directions in world coordinates

    def world(self, *point: float) -> np.ndarray:
        """Return a local point in world coordinates."""
        return self.origin + np.asarray(point) @ self.axes


@dataclass(frozen=True)
class Vertebra:
    """One vertebra: where it lies and its measures in mm.

    `level` counts from the lowest lumbar vertebra (1) upward; sacral segments are 0, -1, ...
    """

    level: int
    frame: Frame
    width: float
    depth: float
    height: float
    wedge: float  # degrees by which the front is taller
    waist: float  # share by which the middle is narrower
    hollow: float  # mm by which the endplates sink in
    spur: float  # share by which the rims stand out (osteophytes)
    pedicle: float
    canal_width: float
    canal_depth: float
    spinous: float
    spinous_height: float
    droop: float
    transverse: float
    thoracic: bool

    @property
    def back(self) -> float:
        """Return local v of the body's hind wall at its middle."""
        return self.depth / 2 - 1.5


@dataclass(frozen=True)
class Disc:
    """One disc: 201 lies under vertebra 1.

    `grade` is Pfirrmann's (1 healthy to 5 collapsed); `bulge` is in mm beyond the hind wall; `modic` is the
    type of the marrow's change beside the disc, 0 for none.
    """

    level: int
    frame: Frame
    width: float
    depth: float
    height: float
    grade: int
    bulge: float
    side: float  # mm to the left of the midline where it bulges most
    modic: int


@dataclass(frozen=True)
class Spine:
    """A whole spine, from the lowest sacral segment to above the field of view."""

    male: bool
    age: float
    lumbar: int
    vertebrae: tuple[Vertebra, ...]  # level 1 first, upward
    discs: tuple[Disc, ...]  # under vertebra 1 first
    sacrum: tuple[Vertebra, ...]  # S1 first, downward
    sacral_discs: tuple[Disc, ...]
    conus: float  # world z of the cord's end
    coccyx: tuple[Vertebra, ...] = ()  # the uppermost first, downward


def mean_of(what: str, index: float) -> float:
    """Return the mean measure at a height index (0 lowest lumbar, 4 highest lumbar, above thoracic)."""
    return float(np.interp(index, _INDEX, _MEANS[what]))


def tilted(origin: np.ndarray, forward: float, left: float, turn: float) -> Frame:
    """Return a frame whose up leans forward and to the left and which is turned about itself (degrees)."""
    a, b, c = np.deg2rad([forward, left, turn])
    lean = np.array([[1, 0, 0], [0, np.cos(a), np.sin(a)], [0, -np.sin(a), np.cos(a)]])
    side = np.array([[np.cos(b), 0, -np.sin(b)], [0, 1, 0], [np.sin(b), 0, np.cos(b)]])
    twist = np.array([[np.cos(c), np.sin(c), 0], [-np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return Frame(np.asarray(origin, dtype=float), twist @ side @ lean)


@dataclass(frozen=True)
class Curve:
    """Lordosis, kyphosis and scoliosis as angles along the spine (mm above the sacral endplate)."""

    slope: float  # lean forward at the sacral endplate, degrees
    backward: float  # lean backward above the lordosis, degrees
    length: float  # mm in which the lordosis fades
    kyphosis: float  # degrees per mm, from 190 mm up
    scoliosis: float  # largest lean to either side, degrees
    scoliosis_length: float  # mm of a full wave
    scoliosis_phase: float  # where the wave begins, 0 to 1

    def forward(self, s: float) -> float:
        """Return the degrees by which the axis leans forward."""
        lean = (self.slope + self.backward) * np.exp(-s / self.length) - self.backward
        return float(lean + self.kyphosis * max(0.0, s - 190.0))

    def left(self, s: float) -> float:
        """Return the degrees by which the axis leans to the left."""
        return float(self.scoliosis * np.sin(2 * np.pi * (s / self.scoliosis_length + self.scoliosis_phase)))

    def frame(self, origin: np.ndarray, s: float) -> Frame:
        """Return the frame at height s; a bent spine also turns."""
        turn = self.scoliosis * np.cos(2 * np.pi * (s / self.scoliosis_length + self.scoliosis_phase))
        return tilted(origin, self.forward(s), self.left(s), 0.5 * turn)


def sample_curve(rng: np.random.Generator) -> Curve:
    """Sample a curve: most spines are straight from the front, a quarter have a mild scoliosis."""
    scoliotic = rng.random() < 0.25
    return Curve(
        slope=float(np.clip(rng.normal(38, 6), 26, 52)),
        backward=float(np.clip(rng.normal(11, 4), 3, 20)),
        length=float(rng.uniform(46, 66)),
        kyphosis=float(rng.uniform(0.03, 0.09)),
        scoliosis=float(rng.uniform(2.5, 5.5) if scoliotic else rng.uniform(0, 0.8)),
        scoliosis_length=float(rng.uniform(260, 420)),
        scoliosis_phase=float(rng.random()),
    )


def _sample_vertebra(
    rng: np.random.Generator, level: int, index: float, scale: float, decay: float, lumbar: int
) -> Vertebra:
    def near(what: str, spread: float = 0.03) -> float:
        return mean_of(what, index) * scale * float(np.clip(rng.normal(1, spread), 0.85, 1.15))

    return Vertebra(
        level=level,
        frame=tilted(np.zeros(3), 0, 0, 0),
        width=near("width"),
        depth=near("depth"),
        height=near("height", 0.025),
        wedge=float(rng.normal((7, 3, 0, -1, -2)[min(4, int(index))], 1.0)),
        waist=float(rng.uniform(0.07, 0.13)),
        hollow=float(rng.uniform(1.0, 2.4)),
        spur=float(max(0.0, rng.normal(0.02 + 0.07 * decay, 0.02))),
        pedicle=near("pedicle", 0.06),
        canal_width=near("canal_width"),
        canal_depth=near("canal_depth", 0.02),
        spinous=near("spinous", 0.07),
        spinous_height=near("spinous_height", 0.07),
        droop=mean_of("droop", index) + float(rng.normal(0, 3)),
        transverse=near("transverse", 0.05),
        thoracic=level > lumbar,
    )


def _sample_disc(rng: np.random.Generator, level: int, below: Vertebra, above: Vertebra, decay: float) -> Disc:
    low = level <= 2  # the two lowest discs wear first
    grade = int(np.clip(round(rng.normal(1.6 + 2.2 * decay + (0.7 if low else 0.0), 0.8)), 1, 5))
    shrink = (1.0, 1.0, 0.93, 0.78, 0.5)[grade - 1]
    worn = grade >= 4
    return Disc(
        level=level,
        frame=above.frame,
        width=0.5 * (below.width + above.width),
        depth=0.5 * (below.depth + above.depth),
        height=shrink,
        grade=grade,
        bulge=float(rng.uniform(1.0, 4.0) if worn and rng.random() < 0.6 else rng.uniform(0, 1.2)),
        side=float(rng.normal(0, 4)),
        modic=int(rng.integers(1, 3)) if worn and rng.random() < 0.4 else 0,
    )


def _sample_sacrum(rng: np.random.Generator, first: Vertebra, curve: Curve) -> list[Vertebra]:
    """Sample S1 to S5: like vertebrae, tapering, tilted backwards, the lower ones bent forward."""
    top, lean = np.zeros(3), curve.slope + float(rng.uniform(0, 6))
    segments: list[Vertebra] = []
    for step, share in enumerate((1.0, 0.8, 0.62, 0.48, 0.38)):
        height = first.height * (1.0, 0.86, 0.76, 0.66, 0.58)[step]
        frame = tilted(top, lean, 0, 0)
        centre = top - frame.axes[2] * (height / 2)
        segments.append(
            replace(
                first,
                level=-step,
                frame=replace(frame, origin=centre),
                width=first.width * share,
                depth=first.depth * (0.92, 0.66, 0.5, 0.4, 0.34)[step],
                height=height,
                wedge=3.0,
                waist=0.08,
                hollow=0.8,
                canal_depth=(7.5, 5.5, 3.8, 2.6, 1.6)[step],
                canal_width=(13.0, 10.5, 8.0, 5.0, 3.0)[step],
            )
        )
        gap = (3.6, 2.4, 1.6, 1.4, 1.2)[step]
        top = centre - frame.axes[2] * (height / 2 + gap)
        lean += (7.0, 3.0, -14.0, -24.0, -20.0)[step] + float(rng.normal(0, 2))
    return segments


def _coccyx(last: Vertebra) -> tuple[Vertebra, ...]:
    """Return three segments below the last sacral one, each smaller and bent further forward."""
    segments: list[Vertebra] = []
    frame, centre, height = last.frame, last.frame.origin, last.height
    for step, share in enumerate((0.75, 0.6, 0.45)):
        top = centre - frame.axes[2] * (height / 2 + 1.5)
        bend = np.deg2rad(-25)
        turn = np.array([[1, 0, 0], [0, np.cos(bend), np.sin(bend)], [0, -np.sin(bend), np.cos(bend)]])
        frame = Frame(top, turn @ frame.axes)
        height = last.height * share
        centre = top - frame.axes[2] * (height / 2)
        frame = replace(frame, origin=centre)
        segment = replace(last, level=last.level - 1 - step, frame=frame, height=height)
        segments.append(replace(segment, width=last.width * share, depth=last.depth * share))
    return tuple(segments)


def _fractured(vertebra: Vertebra, findings: Findings) -> Vertebra:
    fracture = findings.fractures.get(vertebra.level)
    if fracture is None:
        return vertebra
    return replace(
        vertebra,
        wedge=vertebra.wedge - fracture.wedge,
        height=vertebra.height * fracture.height,
        hollow=min(vertebra.hollow + fracture.hollow, 0.3 * vertebra.height * fracture.height),
    )


def _narrowed(disc: Disc, findings: Findings) -> Disc:
    share = findings.narrowing.get(disc.level)
    return disc if share is None else replace(disc, grade=5, height=min(disc.height, share))


def _rudiments(sacrum: list[Vertebra]) -> tuple[Disc, ...]:
    return tuple(
        Disc(lower.level, lower.frame, 0.8 * lower.width, 0.9 * lower.depth, 1.0, 3, 0.0, 0.0, 0)
        for lower in sacrum[1:3]
    )


def sample_spine(rng: np.random.Generator, levels: int, findings: Findings = PLAIN) -> Spine:
    """Sample a spine of `levels` vertebrae above the sacrum."""
    male, age = bool(rng.random() < 0.45), float(np.clip(rng.normal(52, 17), 19, 88))
    scale = (1.02 if male else 0.93) * float(np.clip(rng.normal(1, 0.035), 0.92, 1.08))
    lumbar = int(rng.choice([4, 5, 6], p=[0.08, 0.82, 0.10]))
    lumbar = findings.lumbar or lumbar
    decay = float(np.clip((age - 25) / 55 + rng.normal(0, 0.2), 0, 1))
    curve = sample_curve(rng)
    if findings.scoliosis is not None:
        curve = replace(curve, scoliosis=findings.scoliosis)
    indices = [4 * k / (lumbar - 1) if k < lumbar else 5.0 + k - lumbar for k in range(levels)]
    shapes = [_sample_vertebra(rng, k + 1, t, scale, decay, lumbar) for k, t in enumerate(indices)]
    sacrum = _sample_sacrum(rng, shapes[0], curve)
    shapes = [_fractured(shape, findings) for shape in shapes]
    vertebrae: list[Vertebra] = []
    discs: list[Disc] = []
    top, s = np.zeros(3), 0.0  # the uppermost end so far, and its height along the spine
    for index, shape in zip(indices, shapes, strict=True):
        below = vertebrae[-1] if vertebrae else sacrum[0]
        disc = _sample_disc(rng, shape.level, below, shape, decay)
        disc = _narrowed(disc, findings)
        gap = disc.height * mean_of("disc", index) * scale
        frame = curve.frame(top, s + gap / 2)
        discs.append(replace(disc, height=gap, frame=replace(frame, origin=top + frame.axes[2] * gap / 2)))
        top, s = top + frame.axes[2] * gap - frame.axes[1] * findings.slips.get(shape.level, 0.0), s + gap
        frame = curve.frame(top, s + shape.height / 2)
        centre = top + frame.axes[2] * (shape.height / 2)
        vertebrae.append(replace(shape, frame=replace(frame, origin=centre)))
        top, s = centre + frame.axes[2] * (shape.height / 2), s + shape.height
    coccyx = _coccyx(sacrum[-1]) if findings.coccyx else ()
    conus = float(vertebrae[min(lumbar, levels) - 1].frame.origin[2] + rng.normal(0, 10))
    return Spine(male, age, lumbar, tuple(vertebrae), tuple(discs), tuple(sacrum), _rudiments(sacrum), conus, coccyx)
