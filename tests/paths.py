"""Where the checkout and the shared data beside it lie; tests that need the latter skip where it is absent."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
