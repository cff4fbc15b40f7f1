"""Preprocessing: from a scan to the plan's grid, stored once."""
