"""Interpolate slices: images and masks between measured slices, which themselves come back unchanged."""
