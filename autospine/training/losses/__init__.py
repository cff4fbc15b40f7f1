"""Compute losses, one idea in each file."""
