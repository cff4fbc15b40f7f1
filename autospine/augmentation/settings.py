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

    Raises:
        ValueError: The elastic amplitude is more than a quarter of the smoothness.
    """

    affine_probability: float = 0.7  # of rotation, scale, shear and translation together
    rotation_degrees: float = 15.0  # largest in-plane rotation either way
    scale: Range = (0.8, 1.25)  # smallest and largest magnification, drawn uniformly in its logarithm
    shear: float = 0.08  # largest shear either way, columns per row
    translation: float = 0.08  # largest shift either way as a share of the size
    pixel_spacing: Range = (1.0, 1.0)  # row and column spacing in mm, so that rotation keeps shapes where they differ
    elastic_probability: float = 0.0  # of a smooth displacement, the same in all slices
    # Largest displacement of a node of its lattice along an axis, times a factor of 0 to 1 per sample; at most a
    # quarter of the smoothness, so that tissue never folds.
    elastic_amplitude_mm: float = 4.0
    # Distance of the nodes. Below the height of a vertebra shapes would be unnatural.
    elastic_smoothness_mm: float = 24.0
    mirror: bool = True  # a recipe's word on whether what the plan allows to be mirrored is mirrored
    # Axes that are mirrored with probability 1/2: -3 slices, -2 rows, -1 columns. None by default: levels and sides
    # must stay distinguishable. -3 is passed over in two dimensions.
    mirror_axes: tuple[int, ...] = ()
    fov_crop_probability: float = 0.1  # of a shorter field of view: the rows above or below a random one become padding
    fov_crop_share: float = 0.4  # largest share of rows cropped
    gamma_probability: float = 0.3  # of an exponent on the intensities scaled to 0..1
    gamma: Range = (0.6, 1.7)  # its range
    # Of a random monotone curve on the intensities, as another contrast would give.
    histogram_shift_probability: float = 0.2
    histogram_shift_strength: float = 0.6  # standard deviation of the logarithm of the curve's slopes
    inversion_probability: float = 0.1  # of bright and dark changing places, for contrasts not trained on
    bias_field_probability: float = 0.3  # of a smooth multiplicative field, as from surface coils
    bias_field_strength: Range = (0.1, 0.5)  # standard deviation of the field's logarithm, its range
    contrast_probability: float = 0.2  # of stretching the intensities about their mean
    contrast: Range = (0.7, 1.4)
    brightness_probability: float = 0.2  # of an added constant
    brightness: float = 0.3  # the largest, either way
    blur_probability: float = 0.15  # of Gaussian blur
    blur: Range = (0.5, 1.3)  # its standard deviation
    low_resolution_probability: float = 0.2  # of averaging over larger voxels and interpolating back
    low_resolution: Range = (1.0, 2.5)  # their size
    noise_probability: float = 0.2  # of Gaussian noise
    noise: Range = (0.02, 0.25)  # its standard deviation
    # What follows is for contrasts, scanners and pictures that the training cases do not show, and off by default.
    # Of an image made anew from its labels and its own tissues: tissues are soft classes of the smoothed intensities,
    # and each gets a random brightness, another one inside each class of the labels.
    synthesis_probability: float = 0.0
    synthesis_texture: Range = (0.3, 1.0)  # share of the image's own fine structure that stays
    # Of the same with one brightness and noise for each class of the labels (SynthSeg, Billot et al. 2023).
    label_synthesis_probability: float = 0.0
    label_synthesis_noise: Range = (0.0, 0.08)  # its standard deviation as a share of the range of intensities
    random_curve_probability: float = 0.0  # of a random curve on the intensities that need not rise
    # Of a curve that rises and then falls, so that what was brightest turns dark, as fat does in TIRM and water images.
    fat_suppression_probability: float = 0.0
    anisotropy_probability: float = 0.0  # of larger voxels along one of both in-plane axes only, where there are any
    slice_blur_probability: float = 0.0  # of Gaussian blur through the slices, as of thick ones; in three dimensions
    slice_blur: Range = (0.4, 1.2)  # its standard deviation, slices
    gibbs_probability: float = 0.0  # of ringing: high frequencies are missing along one axis
    gibbs: Range = (0.35, 0.8)  # share of the frequencies that stays
    ghosting_probability: float = 0.0  # of faint copies along one axis, as of pulsation and breath
    ghosting: Range = (0.05, 0.35)  # their strength
    motion_probability: float = 0.0  # of outer lines of k-space taken after the patient has moved
    motion: Range = (0.5, 4.0)  # standard deviation of the way, voxels
    clipping_probability: float = 0.0  # of the darkest and brightest voxels clipped
    clipping: Range = (0.005, 0.06)  # share of the voxels that is clipped at either end
    implant_probability: float = 0.0  # of rods without signal within a bright rim, as around screws
    implant_radius_mm: Range = (3.0, 9.0)  # of the void
    air_probability: float = 0.0  # of air at one side or both, every other time with an arm in it; background there
    air_share: float = 0.25  # largest share of the columns on either side
    padding_probability: float = 0.0  # of columns without image at one side or both, darkest and background
    padding_share: float = 0.25  # largest share of the columns on either side

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
    """

    rotation_probability: float = 0.0  # of an in-plane rotation
    rotation_degrees: float = 15.0  # largest angle either way
    scale_probability: float = 0.0  # of a change of scale
    scale: Range = (0.8, 1.25)  # range of the factor; below 1 a smaller window fills the image
    elastic_probability: float = 0.0  # of an elastic displacement: uniform noise, smoothed and multiplied
    elastic_alpha: Range = (0.0, 1000.0)  # range of the multiplier
    elastic_sigma: Range = (10.0, 13.0)  # range of the smoothing's standard deviation, voxels
    translation: float = 0.0  # largest shift of every sample either way, as a share of the sides
    mirror: bool = True  # whether the recipe mirrors along those axes that the plan allows
    mirror_axes: tuple[int, ...] = ()  # mirrored with probability 1/2 each: -3 slices, -2 rows, -1 columns
    # Of a change of contrast about the mean, within the range of the sample's intensities.
    contrast_probability: float = 0.0
    contrast: Range = (0.75, 1.25)  # range of the factor; one above 1 is as likely as one below
    brightness_probability: float = 0.0  # of a change of brightness
    brightness: Range = (0.8, 1.2)  # range of the factor of the intensities

    @property
    def resamples(self) -> bool:
        """Return whether any change moves voxels to places between others."""
        return any((self.rotation_probability, self.scale_probability, self.elastic_probability, self.translation))
