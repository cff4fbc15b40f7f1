"""How well two masks of one structure agree: overlap from counts, distances between surfaces."""

from __future__ import annotations
