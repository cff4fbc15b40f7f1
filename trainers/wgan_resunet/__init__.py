"""Residual U-Net with clustered attention against a Wasserstein critic, for axial slices (Liu et al. 2024)."""
