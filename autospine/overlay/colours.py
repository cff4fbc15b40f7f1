"""One colour per anatomy, the same in every picture."""

from __future__ import annotations

from autospine.labels.anatomy import Anatomy, Kind

Colour = tuple[float, float, float]

# From the lowest vertebra up, repeated; neighbours lie far apart on the colour wheel.
VERTEBRAE = ("#f0553f", "#4aa3f0", "#f7c531", "#9b6be0", "#5cbf4e", "#e06bd0", "#f2913d", "#3d62e0")
DISCS = ("#a8f0ff", "#ffcf99", "#c6ff9e", "#ffb3dc", "#fff59a", "#b9c3ff", "#b4ffe0", "#ffb3a6")
PLAIN = ("#e6a23c", "#57c7d4", "#d46a9f", "#8fbf4d", "#8d7fe0", "#e0704f", "#4f9de0")
OTHERS = {
    Kind.VERTEBRA: "#f0a04b",
    Kind.PARTIAL_VERTEBRA: "#b58a5c",
    Kind.DISC: "#a5dcf2",
    Kind.CANAL: "#36e0b0",
    Kind.SACRUM: "#c79a74",
    Kind.BODY: "#f0a04b",
    Kind.POSTERIOR_ELEMENTS: "#7c9cf0",
    Kind.LAMINA: "#7c9cf0",
    Kind.FORAMEN: "#36e0b0",
    Kind.CORD: "#ffe9a0",
    Kind.STRUCTURE: "#c0c0c0",
}
CYCLES = {Kind.DISC: DISCS, Kind.STRUCTURE: PLAIN}
SHADES = {Kind.PARTIAL_VERTEBRA: 0.6, Kind.POSTERIOR_ELEMENTS: 0.75, Kind.LAMINA: 0.75}  # of the level's colour


def colour_of(anatomy: Anatomy) -> Colour:
    """Return the colour of a structure.

    Returns:
        Red, green and blue, 0 to 1. A body has the colour of its level, posterior elements and partly visible
        vertebrae darker shades of it.

    Example:
        >>> colour_of(Anatomy(Kind.VERTEBRA, 1)) == colour_of(Anatomy(Kind.BODY, 1))
        True
    """
    if anatomy.level is None:
        return _parse(OTHERS[anatomy.kind])
    cycle = CYCLES.get(anatomy.kind, VERTEBRAE)
    red, green, blue = _parse(cycle[(anatomy.level - 1) % len(cycle)])
    shade = SHADES.get(anatomy.kind, 1.0)
    return red * shade, green * shade, blue * shade


def _parse(text: str) -> Colour:
    red, green, blue = (int(text[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return red, green, blue
