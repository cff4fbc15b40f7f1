"""Synthetic lumbar spines in SPIDER's layout: seeded, bit-exact, for demonstrations and tests."""
