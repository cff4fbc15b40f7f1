from __future__ import annotations

from types import SimpleNamespace

import pytest

from autospine.viewer.text import StructureRow, escape, remarks, table_rows


def label(anatomy: str, name: str, level: int | None = None, flags: tuple[str, ...] = ()) -> SimpleNamespace:
    return SimpleNamespace(anatomy=anatomy, name=name, level=level, flags=flags, confidence=0.5, volume_ml=2.5)


def found(
    *labels: SimpleNamespace,
    ambiguous: str = "",
    warnings: tuple[str, ...] = (),
    implausible: tuple[str, ...] = (),
) -> SimpleNamespace:
    return SimpleNamespace(labels=labels, ambiguous=ambiguous, warnings=warnings, implausible=implausible)


def test_a_row_per_structure_from_the_lowest_level_up() -> None:
    rows = table_rows(
        found(
            label("canal", "spinal canal"),
            label("vertebra:2", "L4", 2, ("ambiguous", "neighbour missing")),
            label("disc:1", "L5/S1 disc", 1),
            label("vertebra:1", "L5", 1),
        )
    )
    assert [row.structure for row in rows] == ["L5", "L4", "L5/S1 disc", "spinal canal"]
    assert rows[0] == StructureRow("#f0553f", "L5", 1, 2.5, 0.5, "")
    assert rows[1].flags == "level uncertain, the level beside it was not seen"
    assert rows[3].level is None


def test_nothing_to_remark() -> None:
    assert remarks(found(label("vertebra:1", "L5", 1))) == ()


def test_remarks_name_what_they_are_about() -> None:
    cut = ("cut by the field of view",)
    said = remarks(
        found(
            label("vertebra:1", "L5", 1, ("neighbour missing",)),
            label("vertebra:3", "L3", 3, ("neighbour missing", *cut)),
            label("disc:3", "L3/L4 disc", 3, cut),
            ambiguous="the image ends there",
            warnings=("spacing is 2 mm; training had 1", "contrast is off"),
            implausible=("no vertebra was found", "volume of L3 1 ml; training had 8 to 40"),
        )
    )
    assert said == (
        "It is uncertain which level is which: the image ends there. Check the names before you use them.",
        "The mask is implausible beside those that the model was trained on. No vertebra was found. Volume of L3 1 ml; "
        "training had 8 to 40.",
        "Cut by the field of view, so the volume is that of a part: L3, L3/L4 disc.",
        "A level between two found ones was not seen. It lies beside: L5, L3.",
        "The scan is unlike what the model was trained on. Spacing is 2 mm; training had 1. Contrast is off.",
    )


def test_an_empty_mask_is_said_to_be_one() -> None:
    assert remarks(found()) == ("Nothing was found in this scan.",)


def test_flags_are_those_of_the_decoder() -> None:
    from inspect import getsource

    from autospine.inference.levels import decode
    from autospine.viewer.text import FLAGS

    assert all(f'"{flag}"' in getsource(decode._flags) for flag in FLAGS)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("1_t2.mha: is empty; copy it", r"1\_t2.mha: is empty; copy it"),
        ("a*b*[c](d).mha", r"a\*b\*\[c\](d).mha"),
        (":smile: $x$", r"\:smile: \$x\$"),
    ],
)
def test_nothing_is_taken_for_formatting(line: str, text: str) -> None:
    assert escape(line) == text
