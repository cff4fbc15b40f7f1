"""Evaluation: masks against references, per structure, case and set."""
