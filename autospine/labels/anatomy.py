"""What can be labelled in a spine, independent of any integers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import total_ordering

from autospine.core.errors import UserError

LUMBAR, THORACIC, CERVICAL = 5, 12, 7


class Kind(str, Enum):
    """Kinds of structures; their order here is the order of tables and legends."""

    VERTEBRA = "vertebra"
    PARTIAL_VERTEBRA = "partial vertebra"
    DISC = "disc"
    CANAL = "canal"
    SACRUM = "sacrum"
    BODY = "body"
    POSTERIOR_ELEMENTS = "posterior elements"  # arch, processes, articular and transverse parts
    LAMINA = "lamina"
    FORAMEN = "foramen"
    CORD = "cord"
    STRUCTURE = "structure"


_RANK = {kind: rank for rank, kind in enumerate(Kind)}
_FULL_NAMES = {
    **{kind: kind.value for kind in Kind},
    Kind.CANAL: "spinal canal",
    Kind.BODY: "vertebral body",
    Kind.FORAMEN: "vertebral foramen",
    Kind.CORD: "spinal cord",
}
_LEVELLED = {
    Kind.VERTEBRA: "{}",
    Kind.PARTIAL_VERTEBRA: "{} (partial)",
    Kind.BODY: "{} body",
    Kind.POSTERIOR_ELEMENTS: "{} posterior elements",
    Kind.LAMINA: "{} lamina",
    Kind.FORAMEN: "{} foramen",
}


def level_name(level: int) -> str:
    """Return the usual name of a level, assuming five lumbar and twelve thoracic vertebrae.

    Args:
        level: Ordinal from the lowest lumbar vertebra (1) up; 0 is the sacrum.

    Example:
        >>> [level_name(level) for level in (0, 1, 5, 6, 17, 18, 25)]
        ['S1', 'L5', 'L1', 'T12', 'T1', 'C7', 'level 25']
    """
    if level == 0:
        return "S1"
    for letter, count in (("L", LUMBAR), ("T", THORACIC), ("C", CERVICAL)):
        if 1 <= level <= count:
            return f"{letter}{count - level + 1}"
        level -= count
    return f"level {level + LUMBAR + THORACIC + CERVICAL}"


@total_ordering
@dataclass(frozen=True)
class Anatomy:
    """One structure.

    Attributes:
        kind: What it is.
        level: Ordinal from the lowest lumbar vertebra up (1, 2, ...); a disc has the level of the
            vertebra above it. None: any level, or a structure without levels.

    Names such as L5 assume five lumbar vertebrae: say so where they are printed.
    """

    kind: Kind
    level: int | None = None

    def __lt__(self, other: Anatomy) -> bool:
        return self._order < other._order

    @property
    def _order(self) -> tuple[int, int]:
        return _RANK[self.kind], 0 if self.level is None else self.level

    @property
    def key(self) -> str:
        """Return what files hold: "vertebra:1", "canal"."""
        return self.kind.value if self.level is None else f"{self.kind.value}:{self.level}"

    @classmethod
    def parse(cls, key: str, where: str = "label") -> Anatomy:
        """Read the anatomy that `key` stands for.

        Args:
            key: "vertebra:1", "canal", ...
            where: What an error names.

        Raises:
            UserError: The kind is unknown or the level is no whole number of 1 or more (any whole
                number for "structure").
        """
        word, colon, number = key.partition(":")
        try:
            kind, level = Kind(word), int(number) if colon else None
            if level is not None and level < 1 and kind is not Kind.STRUCTURE:
                raise ValueError(level)
        except ValueError as error:
            kinds = ", ".join(kind.value for kind in Kind)
            hint = f"write KIND or KIND:LEVEL, with KIND one of {kinds}"
            raise UserError(where, f"names no anatomy: {key!r}", hint) from error
        return cls(kind, level)

    @property
    def name(self) -> str:
        """Return the name for people: "L5", "L5/S1 disc", "spinal canal" (assumes five lumbar vertebrae)."""
        if self.level is None:
            return _FULL_NAMES[self.kind]
        if self.kind is Kind.DISC:
            return f"{self.short_name} disc"
        if self.kind in _LEVELLED:
            return _LEVELLED[self.kind].format(level_name(self.level))
        return f"{_FULL_NAMES[self.kind]} {self.level}"

    @property
    def short_name(self) -> str:
        """Return the name for pictures: "L5", "L5/S1", "canal", "7" for a plain structure 7 (five lumbar vertebrae)."""
        if self.level is None:
            return self.kind.value
        if self.kind is Kind.DISC:
            return f"{level_name(self.level)}/{level_name(self.level - 1)}"
        if self.kind in _LEVELLED:
            return level_name(self.level)
        return str(self.level)
