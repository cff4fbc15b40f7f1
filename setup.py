"""Packaging: everything is declared in pyproject.toml; the version is read from `autospine/core/version.py`."""

import re
from pathlib import Path

from setuptools import setup

source = (Path(__file__).parent / "autospine" / "core" / "version.py").read_text(encoding="utf-8")
version = re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE)
if version is None:
    raise SystemExit("setup.py: autospine/core/version.py does not state __version__")
setup(version=version.group(1))
