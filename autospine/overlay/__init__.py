"""Overlay pictures: a scan with its labels."""
