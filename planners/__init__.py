"""Planners: one file per kind of plan."""
