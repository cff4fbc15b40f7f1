"""What happens to each sample of one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autospine.augmentation.elastic import BORDER

KNOTS = 6  # of the monotone curve
NODES = 4  # of the bias field, along each in-plane axis
CLASSES = 12  # that are told apart by synthesis, the background the first; further ones share with those before
TISSUES = 5  # knots of a class's curve: air, then tissues from dark to bright
MOVES = 4  # parts of k-space between movements, from the middle outwards
IMPLANTS = 4  # most in one sample
IMPLANT, ARM = 8, 9  # numbers that describe one


@dataclass(frozen=True)
class Parameters:
    """One row per sample of the batch, on the CPU. `identity` gives the values that change nothing."""

    matrix: Tensor  # linear part of the in-plane map about the middle of the slice, (row, column) voxels, (B, 2, 2)
    shift: Tensor  # translation after it, voxels, (B, 2)
    # Displacement of the nodes, (row, column) voxels; where a pixel of the new image comes from before the map above is
    # undone. (B, 2, row nodes, column nodes)
    elastic: Tensor
    mirrored_slices: Tensor  # whether the slices change their order, (B,)
    visible_rows: Tensor  # first row kept and first row cropped again; 0 and H where all stay, (B, 2)
    gamma: Tensor  # exponent, (B,)
    histogram_shift: Tensor  # heights of the monotone curve at equal steps of 0..1, from 0 to 1, (B, KNOTS)
    inverted: Tensor  # whether bright and dark change places, (B,)
    bias_field: Tensor  # logarithm of the bias field at its nodes, (B, NODES, NODES)
    contrast: Tensor  # factor about the mean, (B,)
    brightness: Tensor  # constant added, (B,)
    blur: Tensor  # standard deviation, voxels; 0 for none, (B,)
    low_resolution: Tensor  # rows and columns of the larger voxels; 1 for none, (B, 2)
    noise: Tensor  # standard deviation; 0 for none, (B,)
    noise_seed: Tensor  # what the noise is drawn from. ()
    synthesised: Tensor  # whether the image is made anew, (B,)
    tissue_brightness: Tensor  # of each class's tissues, 0 to 1, (B, CLASSES, TISSUES)
    tissue_noise: Tensor  # standard deviation of each class's noise, of the range of intensities, (B, CLASSES)
    tissue_texture: Tensor  # share of the image's fine structure that stays in each class, (B, CLASSES)
    slice_blur: Tensor  # standard deviation, slices; 0 for none, (B,)
    phase_columns: Tensor  # whether ringing, ghosts and motion go along columns rather than rows, (B,)
    gibbs: Tensor  # share of the frequencies that stays; 1 for all, (B,)
    ghosting: Tensor  # strength of the copies; 0 for none, (B,)
    ghost_distance: Tensor  # of the copies, share of the axis, (B,)
    motion: Tensor  # where the patient is in each part of k-space, voxels, (B, MOVES)
    clipping: Tensor  # shares of the voxels below which and above which intensities are clipped; 0 and 1, (B, 2)
    # Rods: row, column and slice of the middle, half length, angle (radians), radius of the void (0: no rod), radius of
    # the rim as a multiple of it, half the slices that it crosses. Lengths are voxels, places and slices shares.
    # (B, IMPLANTS, 8)
    implants: Tensor
    air: Tensor  # first column of the body and first of the air behind, as shares; 0 and 1, (B, 2)
    # Whether there is an arm in the air and on which side (1: behind), its middle (share of the strip), its half width
    # (likewise), slant (columns per row), then the brightness of its marrow, cortex, muscle, fat, 0 to 1. (B, 9)
    arm: Tensor
    visible_columns: Tensor  # first column kept and first without image again; 0 and W where all stay, (B, 2)

    @classmethod
    def identity(cls, shape: Sequence[int]) -> Parameters:
        """Make parameters under which `apply` changes nothing, for images of `shape` (B, C, [D,] H, W)."""
        batch, rows, columns = shape[0], *shape[-2:]
        ones, zeros = torch.ones(batch), torch.zeros(batch)
        return cls(
            matrix=torch.eye(2).repeat(batch, 1, 1),
            shift=torch.zeros(batch, 2),
            elastic=torch.zeros(batch, 2, BORDER + 1, BORDER + 1),
            mirrored_slices=zeros.bool(),
            visible_rows=torch.tensor([0, rows]).repeat(batch, 1),
            gamma=ones,
            histogram_shift=torch.linspace(0, 1, KNOTS).repeat(batch, 1),
            inverted=zeros.bool(),
            bias_field=torch.zeros(batch, NODES, NODES),
            contrast=ones,
            brightness=zeros,
            blur=zeros,
            low_resolution=torch.ones(batch, 2),
            noise=zeros,
            noise_seed=torch.zeros((), dtype=torch.int64),
            synthesised=zeros.bool(),
            tissue_brightness=torch.zeros(batch, CLASSES, TISSUES),
            tissue_noise=torch.zeros(batch, CLASSES),
            tissue_texture=torch.ones(batch, CLASSES),
            slice_blur=zeros,
            phase_columns=zeros.bool(),
            gibbs=ones,
            ghosting=zeros,
            ghost_distance=zeros,
            motion=torch.zeros(batch, MOVES),
            clipping=torch.tensor([0.0, 1.0]).repeat(batch, 1),
            implants=torch.zeros(batch, IMPLANTS, IMPLANT),
            air=torch.tensor([0.0, 1.0]).repeat(batch, 1),
            arm=torch.zeros(batch, ARM),
            visible_columns=torch.tensor([0, columns]).repeat(batch, 1),
        )
