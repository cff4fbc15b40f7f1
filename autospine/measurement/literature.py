"""Published means beside the figures: what to expect of adults, never a diagnosis."""

from __future__ import annotations

from dataclasses import dataclass

COOK = "Cook and Baker 2021: CT, 196 patients"
ONISHI = "Onishi et al. 2019: MRI, 300 patients"
CHATHA = "Chatha and Schweitzer 2011: MRI, 100 patients"


@dataclass(frozen=True)
class Published:
    """The published mean of a figure.

    Attributes:
        figure: Its column.
        name: Of the vertebra, or of the one above the disc; "" for the whole column.
        mean: In the figure's unit.
        deviation: One standard deviation of the people measured; None where it is not given.
        source: Who measured what in whom, see docs/measurement.md.
    """

    figure: str
    name: str
    mean: float
    deviation: float | None
    source: str

    @property
    def text(self) -> str:
        """Return "30.3 ± 1.9"."""
        return f"{self.mean:g}" if self.deviation is None else f"{self.mean:g} ± {self.deviation:g}"


PUBLISHED = (
    Published("anterior_height_mm", "L5", 30.3, 1.9, COOK),
    Published("posterior_height_mm", "L5", 26.3, 1.9, COOK),
    Published("canal_diameter_mm", "L5", 15.6, 2.1, f"{COOK}, bony canal"),
    Published("disc_anterior_height_mm", "L3", 9.30, None, ONISHI),
    Published("disc_anterior_height_mm", "L4", 10.94, None, ONISHI),
    Published("disc_anterior_height_mm", "L5", 12.41, None, ONISHI),
    Published("disc_canal_diameter_mm", "L1", 15.6, None, CHATHA),
    Published("disc_canal_diameter_mm", "L5", 11.6, None, CHATHA),
    Published("lordosis_deg", "", 36.8, 13.2, "Yukawa et al. 2019: radiographs lying, T12 to S1, 627 volunteers"),
)


def published(figure: str, name: str) -> Published | None:
    """Return the published mean of a figure at a level, if there is one."""
    return next((entry for entry in PUBLISHED if (entry.figure, entry.name) == (figure, name)), None)
