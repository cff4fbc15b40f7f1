"""Files of a model's folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

CARD, WEIGHTS = "model.json", "weights.safetensors"
PROVENANCE, LICENCE, MANIFEST = "card.json", "LICENCE.txt", "manifest.json"  # of a model that is passed on


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
