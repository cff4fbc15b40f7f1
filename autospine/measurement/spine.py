"""The fitted shapes of one mask: bodies, sacrum, discs and canal, by level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from autospine.core.errors import UserError
from autospine.labels.anatomy import Anatomy, Kind, level_name
from autospine.labels.conversion import check_labels, present_labels, replace_labels
from autospine.labels.schemes import LabelScheme
from autospine.measurement.bodies import Body, fit_body
from autospine.measurement.canal import Canal, find_canal
from autospine.measurement.discs import Disc, disc_between, fit_disc
from autospine.measurement.frames import BACK, UP
from autospine.measurement.sacrum import fit_sacrum
from autospine.measurement.separation import canal_front, separate_body
from autospine.metrics.components import FACES, component_boxes, connected_components

VERTEBRAL = (Kind.BODY, Kind.VERTEBRA, Kind.PARTIAL_VERTEBRA)  # the body itself first, where a mask has both
TALL = 1.4  # middle height over depth: no vertebra is so tall, two in one label are
HALF_WIDTH = 0.65  # of a lumbar body over its depth
SMALLEST_ML = 0.5  # a piece without a level that is smaller is no instance
TURN = 30.0  # degrees: the canal never lies further off a body's back than that
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Piece:
    """A mask of one instance, in a crop."""

    mask: np.ndarray
    corner: tuple[int, int, int]
    spacing: tuple[float, float, float]

    @property
    def voxels(self) -> int:
        """Return how many voxels it has."""
        return int(self.mask.sum())

    @property
    def volume_ml(self) -> float:
        """Return the volume of its voxels."""
        return self.voxels * float(np.prod(self.spacing)) / 1000

    @property
    def centre(self) -> np.ndarray:
        """Return its centre in grid coordinates (x, y, z), mm."""
        x, z, y = (np.argwhere(self.mask).mean(axis=0) + self.corner) * self.spacing
        return np.array([x, y, -z])

    def middle_lies_outside(self, slices: int, depth_mm: float) -> bool:
        """Tell whether one end of the grid's slices cuts it short of its middle; a body is wider than it is deep."""
        shown = np.flatnonzero(self.mask.any(axis=(1, 2))) + self.corner[0]
        one_side = (shown[0] == 0) != (shown[-1] == slices - 1)
        return bool(one_side and len(shown) * self.spacing[0] < HALF_WIDTH * depth_mm)

    def touches(self, shape: tuple[int, ...], axis: int) -> bool:
        """Tell whether it reaches the first or the last index of an axis of the whole grid."""
        shown = np.flatnonzero(self.mask.any(axis=tuple({0, 1, 2} - {axis}))) + self.corner[axis]
        return bool(shown[0] == 0 or shown[-1] == shape[axis] - 1)


@dataclass(frozen=True)
class Vertebra:
    """A vertebra's body as it was found, and why parts of it cannot be measured."""

    name: str
    piece: Piece | None  # None: not told apart from the posterior elements
    body: Body | None
    problem: str = ""  # nothing can be measured
    cut_sides: bool = False  # the first or last slice cuts the body


@dataclass(frozen=True)
class SpineShapes:
    """Everything that was fitted in a mask; keys are levels, or ordinals from below where the mask has none."""

    shape: tuple[int, ...]
    spacing: tuple[float, float, float]
    levelled: bool
    vertebrae: Mapping[int, Vertebra]
    discs: Mapping[int, tuple[Piece | None, Disc | str]]  # of the disc under each vertebra; or why there is none
    sacrum: Body | None
    canal: Canal | None
    up: np.ndarray = field(default_factory=lambda: UP)  # the scanner's axis, in grid coordinates

    def below(self, key: int) -> Body | None:
        """Return the body, or the sacrum's endplate, under a vertebra."""
        lower = self.vertebrae.get(key - 1)
        return lower.body if lower else self.sacrum if key == 1 else None


def find_shapes(
    mask: np.ndarray, spacing: tuple[float, float, float], scheme: LabelScheme, up: np.ndarray = UP, where: str = "mask"
) -> SpineShapes:
    """Fit everything that a mask shows.

    Args:
        mask: Integers of the scheme, canonical (slices, rows, columns).
        spacing: mm along each axis.
        scheme: What the integers mean.
        up: The scanner's axis in grid coordinates (x left, y back, z up).
        where: The file that an error names.

    Raises:
        UserError: The mask holds a label outside its scheme, or neither vertebrae nor discs.
    """
    present = present_labels(mask, where)
    check_labels(present, scheme, where)
    shown = {scheme.anatomies[value] for value in present if value in scheme.anatomies}
    if not any(a.kind in (*VERTEBRAL, Kind.DISC) for a in shown):
        what = ", ".join(sorted(a.name for a in shown)[:4]) or "nothing"
        problem = f"shows neither vertebrae nor discs by the scheme {scheme.name} ({what})"
        raise UserError(where, problem, "name the masks' own scheme with --labels")
    canal_mask = _of(mask, scheme, lambda a: a.kind in (Kind.CANAL, Kind.CORD))
    canal, front = find_canal(canal_mask, spacing), canal_front(canal_mask, spacing)
    pieces, levelled = _pieces(mask, spacing, scheme, VERTEBRAL, front)
    centres = {key: piece.centre for key, (piece, _) in pieces.items()}
    vertebrae = {
        key: _vertebra(key, piece, partial, levelled, mask.shape, front, canal, _axis(key, centres))
        for key, (piece, partial) in pieces.items()
    }
    sacrum = _sacrum(mask, spacing, scheme, vertebrae.get(1))
    disc_pieces, _ = _pieces(mask, spacing, scheme, (Kind.DISC,), None)
    if not levelled or (disc_pieces and not _has_levels(scheme, present, (Kind.DISC,))):
        disc_pieces = _by_neighbours(disc_pieces, centres)
    bodies = {key: vertebra.body for key, vertebra in vertebrae.items()}
    keys = sorted({*disc_pieces, *(key for key in bodies if key - 1 in bodies or (key == 1 and sacrum is not None))})
    discs = {
        key: _disc(disc_pieces.get(key, (None, False))[0], bodies.get(key), bodies.get(key - 1, sacrum), mask.shape)
        for key in keys
    }
    return SpineShapes(mask.shape, spacing, levelled, vertebrae, discs, sacrum, canal, up)


def _of(mask: np.ndarray, scheme: LabelScheme, wanted: object) -> np.ndarray:
    present = present_labels(mask)
    if not present:
        return np.zeros(mask.shape, bool)
    chosen = [value in scheme.anatomies and wanted(scheme.anatomies[value]) for value in present]  # type: ignore[operator]
    return replace_labels(mask, present, np.array(chosen))


def _has_levels(scheme: LabelScheme, present: tuple[int, ...], kinds: tuple[Kind, ...]) -> bool:
    found = [scheme.anatomies[v] for v in present if v in scheme.anatomies and scheme.anatomies[v].kind in kinds]
    return any(anatomy.level is not None for anatomy in found)


def _pieces(
    mask: np.ndarray,
    spacing: tuple[float, float, float],
    scheme: LabelScheme,
    kinds: tuple[Kind, ...],
    front: np.ndarray | None,
) -> tuple[dict[int, tuple[Piece, bool]], bool]:
    """Return each instance of some kinds with whether it is partial, by level, and whether the mask has levels."""
    present = present_labels(mask)
    anatomies = {v: scheme.anatomies[v] for v in present if v in scheme.anatomies and scheme.anatomies[v].kind in kinds}
    found: dict[int, tuple[Piece, bool]] = {}
    levelled = _has_levels(scheme, present, kinds)
    if levelled:
        order = sorted(anatomies.items(), key=lambda item: kinds.index(item[1].kind))
        numbers: dict[int, Anatomy] = {}
        for _, anatomy in order:
            if anatomy.level is not None:
                numbers.setdefault(anatomy.level, anatomy)
        flat = np.zeros(max(present) + 1, np.int32)
        for value, anatomy in anatomies.items():
            if anatomy.level is not None and numbers[anatomy.level] == anatomy:
                flat[value] = anatomy.level
        levels = replace_labels(mask, present, flat[list(present)])
        for level, box in component_boxes(levels):
            piece = Piece(levels[box] == level, _corner(box), spacing)
            found[level] = (piece, numbers[level].kind is Kind.PARTIAL_VERTEBRA)
        return found, True
    kind = next((k for k in kinds if any(a.kind is k for a in anatomies.values())), None)
    union = _of(mask, scheme, lambda a: a.kind is kind)
    if front is not None and union.any():
        rows = np.flatnonzero(~np.isnan(front))
        wall = np.interp(np.arange(len(front)), rows, front[rows])
        union = union & (np.arange(mask.shape[2]) < wall[:, None])  # arches of neighbours touch, bodies do not
    components, _ = connected_components(union, FACES)
    pieces = [Piece(components[box] == n, _corner(box), spacing) for n, box in component_boxes(components)]
    pieces = [piece for piece in pieces if piece.volume_ml >= SMALLEST_ML]
    pieces.sort(key=lambda piece: piece.centre[2])
    return {key: (piece, False) for key, piece in enumerate(pieces, start=1)}, False


def _corner(box: Box) -> tuple[int, int, int]:
    first, second, third = (part.start for part in box)
    return first, second, third


def _axis(key: int, centres: Mapping[int, np.ndarray]) -> np.ndarray:
    """Return about where a structure's top points: from the neighbour below to the one above."""
    near = [k for k in (key - 1, key, key + 1) if k in centres]
    return centres[near[-1]] - centres[near[0]] if len(near) > 1 else UP


def _vertebra(
    key: int,
    piece: Piece,
    partial: bool,
    levelled: bool,
    shape: tuple[int, ...],
    front: np.ndarray | None,
    canal: Canal | None,
    axis: np.ndarray,
) -> Vertebra:
    name = level_name(key) if levelled else f"vertebra {key} from below"
    if partial:
        return Vertebra(name, None, None, "partly visible, as its label says")
    rows = slice(piece.corner[1], piece.corner[1] + piece.mask.shape[1])
    local = None if front is None else front[rows] - piece.corner[2]
    alone = separate_body(piece.mask, local, piece.spacing)
    if alone is None:
        return Vertebra(name, None, None, "body and posterior elements cannot be told apart without the canal")
    body_piece = Piece(alone, piece.corner, piece.spacing)
    if body_piece.touches(shape, 1):
        return Vertebra(name, body_piece, None, "cut by the field of view")
    if body_piece.touches(shape, 2):
        return Vertebra(name, body_piece, None, "cut by the field of view")
    body = fit_body(alone, piece.corner, piece.spacing, axis, _back(body_piece, canal))
    if body is None:
        return Vertebra(name, body_piece, None, "too small or too irregular to fit")
    if body.middle_height > TALL * (body.upper.depth + body.lower.depth) / 2:
        return Vertebra(name, body_piece, None, "taller than a vertebra: fused, or two under one label")
    if body_piece.middle_lies_outside(shape[0], (body.upper.depth + body.lower.depth) / 2):
        return Vertebra(name, body_piece, None, "its middle lies outside the slices")
    return Vertebra(name, body_piece, body, "", body_piece.touches(shape, 0))


def _back(piece: Piece, canal: Canal | None) -> np.ndarray:
    """Return where a body's back points: to the canal, else along the slices."""
    if canal is None:
        return BACK
    centre = piece.centre
    index = canal.nearest(centre, UP)
    step = canal.axis[index] - centre
    flat = np.array([step[0], step[1], 0.0])
    off = np.degrees(np.arctan2(abs(flat[0]), flat[1]))
    return flat / np.linalg.norm(flat) if off < TURN else BACK


def _sacrum(
    mask: np.ndarray, spacing: tuple[float, float, float], scheme: LabelScheme, lowest: Vertebra | None
) -> Body | None:
    if lowest is None or lowest.body is None:
        return None
    for _, box in component_boxes(_of(mask, scheme, lambda a: a.kind is Kind.SACRUM).astype(np.uint8)):
        inside = _of(mask[box], scheme, lambda a: a.kind is Kind.SACRUM)
        return fit_sacrum(inside, _corner(box), spacing, lowest.body)
    return None


def _by_neighbours(
    pieces: Mapping[int, tuple[Piece, bool]], centres: Mapping[int, np.ndarray]
) -> dict[int, tuple[Piece, bool]]:
    """Number discs by the vertebra above them; without vertebrae they keep their own order."""
    if not centres:
        return dict(pieces)
    found: dict[int, tuple[Piece, bool]] = {}
    for piece, partial in pieces.values():
        above = [key for key, centre in centres.items() if centre[2] > piece.centre[2]]
        if above:
            found.setdefault(min(above, key=lambda key: centres[key][2]), (piece, partial))
    return found


def _disc(
    piece: Piece | None, upper: Body | None, lower: Body | None, shape: tuple[int, ...]
) -> tuple[Piece | None, Disc | str]:
    if piece is not None and not piece.touches(shape, 1):
        axis = upper.frame.axes[2] if upper else lower.frame.axes[2] if lower else UP
        disc = fit_disc(piece.mask, piece.corner, piece.spacing, axis)
        if disc is not None:
            return piece, disc
    if upper is not None and lower is not None:
        return piece, disc_between(lower, upper) or "no room between the endplates (fused?)"
    return piece, "cut by the field of view" if piece is not None else "neither it nor both its vertebrae are labelled"


def name_of_disc(key: int, levelled: bool) -> str:
    """Return what a disc is called: "L4/L5", or "disc 2 from below" without levels."""
    return Anatomy(Kind.DISC, key).short_name if levelled else f"disc {key} from below"
