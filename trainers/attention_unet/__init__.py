"""Attention U-Net with an instance-aware loss (Pal et al.)."""
