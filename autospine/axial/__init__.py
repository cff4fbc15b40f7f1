"""Axial slices: the labels of their structures derived from whole vertebrae, and their scores slice by slice."""
