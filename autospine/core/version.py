"""The project's version, which files that a run writes state; `setup.py` reads it from here."""

__version__ = "0.1.0"
