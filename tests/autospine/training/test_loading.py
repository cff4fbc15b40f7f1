from __future__ import annotations

from autospine.labels.encoding import Encoding, MergedLabel, SemanticClass, SourceAnnotation
from autospine.training.loading import label_classes


def test_levels_of_a_class_share_its_brightness_and_what_is_not_told_has_the_backgrounds() -> None:
    encoding = Encoding(
        (SemanticClass("vertebral body", (301, 302), (1, 2)), SemanticClass("disc", (201, 202), (1, 2))),
        levels=(1, 2),
        merged=(MergedLabel(1, (1, 2), 1), MergedLabel(2, (1, 2), 2)),
        sources=(SourceAnnotation("bodies", (2,)), SourceAnnotation("all")),
    )
    # background, two bodies, two discs, ignored, two merged labels, the backgrounds of two sources
    assert label_classes(encoding).tolist() == [0, 1, 1, 2, 2, 0, 3, 3, 0, 0]
