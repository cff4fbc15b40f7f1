from __future__ import annotations

from autospine.labels.label_table import scheme_of_table
from autospine.labels.schemes import SCHEMES

VERTEBRAE = (
    [f"L{n}" for n in range(5, 0, -1)] + [f"T{n}" for n in range(12, 0, -1)] + [f"C{n}" for n in range(7, 0, -1)]
)


def test_a_table_of_a_known_task_is_its_scheme() -> None:
    names = {1: "sacrum", **{value: f"vertebrae_{name}" for value, name in enumerate(VERTEBRAE, start=2)}}
    assert scheme_of_table(names) is SCHEMES["totalsegmentator_vertebrae_mr"]
    total_mr = {value: "organ" for value in range(1, 51)}
    total_mr |= {18: "sacrum", 19: "vertebrae", 20: "intervertebral_discs", 21: "spinal_cord"}
    assert scheme_of_table(total_mr) is SCHEMES["totalsegmentator_total_mr"]


def test_a_table_of_some_classes_is_a_scheme_of_its_own() -> None:
    told = scheme_of_table({0: "background", 27: "vertebrae_L5", 32: "vertebrae_T12", 5: "liver"})
    assert told is not None and told.name == "label table"
    assert {value: one.key for value, one in told.anatomies.items()} == {
        27: "vertebra:1",
        32: "vertebra:6",
        5: "structure:5",
    }


def test_a_sixth_lumbar_vertebra_raises_the_others() -> None:
    told = scheme_of_table({26: "vertebrae_L6", 27: "vertebrae_L5"})
    assert told is not None
    assert (
        told.shown_by([26]).anatomies[27].key == "vertebra:2" and told.shown_by([27]).anatomies[27].key == "vertebra:1"
    )


def test_a_table_without_a_spine_tells_nothing() -> None:
    assert scheme_of_table({1: "liver", 2: "L5", 3: "vertebrae_T99"}) is None
    assert scheme_of_table({}) is None
