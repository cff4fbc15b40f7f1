"""Levels along the spine: instances found by offset votes, then numbered by their order."""
