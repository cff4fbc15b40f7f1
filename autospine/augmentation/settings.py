"""How often and how far a batch is changed: by AutoSpine's own augmentation, or by batchgenerators'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autospine.core.serial import from_plain

Range = tuple[float, float]


@dataclass(frozen=True)
class AugmentationSettings:
    """Probabilities per sample, and ranges that are drawn from uniformly.

    Lengths are voxels in-plane, unless their name says mm. Intensities are z-scored, so 1 is a standard deviation of
    the image.

    Attributes:
        affine_probability: Of rotation, scale, shear and translation together.
        rotation_degrees: Largest in-plane rotation either way.
        scale: Smallest and largest magnification, drawn uniformly in its logarithm.
        shear: Largest shear either way, columns per row.
        translation: Largest shift either way as a share of the size.
        pixel_spacing: Row and column spacing in mm, so that rotation keeps shapes where they differ.
        elastic_probability: Of a smooth displacement, the same in all slices.
        elastic_amplitude_mm: Largest displacement of a node of its lattice along an axis, times a factor of 0 to 1
            per sample; at most a quarter of the smoothness, so that tissue never folds.
        elastic_smoothness_mm: Distance of the nodes. Below the height of a vertebra shapes would be unnatural.
        mirror: A recipe's word on whether what the plan allows to be mirrored is mirrored.
        mirror_axes: Axes that are mirrored with probability 1/2: -3 slices, -2 rows, -1 columns. None by
            default: levels and sides must stay distinguishable. -3 is passed over in two dimensions.
        fov_crop_probability: Of a shorter field of view: the rows above or below a random one become padding.
        fov_crop_share: Largest share of rows cut.
        gamma_probability: Of an exponent on the intensities scaled to 0..1.
        gamma: Its range.
        histogram_shift_probability: Of a random monotone curve on the intensities, as another contrast would give.
        histogram_shift_strength: Standard deviation of the logarithm of the curve's slopes.
        inversion_probability: Of bright and dark changing places, for contrasts not trained on.
        bias_field_probability: Of a smooth multiplicative field, as from surface coils.
        bias_field_strength: Standard deviation of the field's logarithm, its range.
        contrast_probability: Of stretching the intensities about their mean.
        contrast: The factor.
        brightness_probability: Of an added constant.
        brightness: The largest, either way.
        blur_probability: Of Gaussian blur.
        blur: Its standard deviation.
        low_resolution_probability: Of averaging over larger voxels and interpolating back.
        low_resolution: Their size.
        noise_probability: Of Gaussian noise.
        noise: Its standard deviation.

    Raises:
        ValueError: The elastic amplitude is more than a quarter of the smoothness.
    """

    affine_probability: float = 0.7
    rotation_degrees: float = 15.0
    scale: Range = (0.8, 1.25)
    shear: float = 0.08
    translation: float = 0.08
    pixel_spacing: Range = (1.0, 1.0)
    elastic_probability: float = 0.0
    elastic_amplitude_mm: float = 4.0
    elastic_smoothness_mm: float = 24.0
    mirror: bool = True
    mirror_axes: tuple[int, ...] = ()
    fov_crop_probability: float = 0.1
    fov_crop_share: float = 0.4
    gamma_probability: float = 0.3
    gamma: Range = (0.6, 1.7)
    histogram_shift_probability: float = 0.2
    histogram_shift_strength: float = 0.6
    inversion_probability: float = 0.1
    bias_field_probability: float = 0.3
    bias_field_strength: Range = (0.1, 0.5)
    contrast_probability: float = 0.2
    contrast: Range = (0.7, 1.4)
    brightness_probability: float = 0.2
    brightness: float = 0.3
    blur_probability: float = 0.15
    blur: Range = (0.5, 1.3)
    low_resolution_probability: float = 0.2
    low_resolution: Range = (1.0, 2.5)
    noise_probability: float = 0.2
    noise: Range = (0.02, 0.25)

    def __post_init__(self) -> None:
        if not 0 <= self.elastic_amplitude_mm <= self.elastic_smoothness_mm / 4:
            raise ValueError(
                f"an elastic amplitude of {self.elastic_amplitude_mm:g} mm, more than a quarter of "
                f"{self.elastic_smoothness_mm:g} mm between nodes"
            )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "augmentation") -> AugmentationSettings:
        """Read the settings from JSON values; `where` is the file that an error names.

        Raises:
            UserError: A key is unknown, or a value of another type.
        """
        return from_plain(cls, data, where)


@dataclass(frozen=True)
class BatchgeneratorsSettings:
    """Probabilities per sample, and ranges that are sampled from; the defaults change nothing.

    Spatial changes are in-plane and the same in all slices. They know voxels, not mm, as in the papers. Centres of
    vertebrae do not move with them, so a recipe with them learns classes.

    Attributes:
        rotation_probability: Of an in-plane rotation.
        rotation_degrees: Largest angle either way.
        scale_probability: Of a change of scale.
        scale: Range of the factor; below 1 a smaller window fills the image.
        elastic_probability: Of an elastic displacement: uniform noise, smoothed and multiplied.
        elastic_alpha: Range of the multiplier.
        elastic_sigma: Range of the smoothing's standard deviation, voxels.
        translation: Largest shift of every sample either way, as a share of the sides.
        mirror: Whether the recipe mirrors along those axes that the plan allows.
        mirror_axes: Mirrored with probability 1/2 each: -3 slices, -2 rows, -1 columns.
        contrast_probability: Of a change of contrast about the mean, within the range of the sample's intensities.
        contrast: Range of the factor; one above 1 is as likely as one below.
        brightness_probability: Of a change of brightness.
        brightness: Range of the factor of the intensities.
    """

    rotation_probability: float = 0.0
    rotation_degrees: float = 15.0
    scale_probability: float = 0.0
    scale: Range = (0.8, 1.25)
    elastic_probability: float = 0.0
    elastic_alpha: Range = (0.0, 1000.0)
    elastic_sigma: Range = (10.0, 13.0)
    translation: float = 0.0
    mirror: bool = True
    mirror_axes: tuple[int, ...] = ()
    contrast_probability: float = 0.0
    contrast: Range = (0.75, 1.25)
    brightness_probability: float = 0.0
    brightness: Range = (0.8, 1.2)

    @property
    def resamples(self) -> bool:
        """Return whether any change moves voxels to places between others."""
        return any((self.rotation_probability, self.scale_probability, self.elastic_probability, self.translation))
