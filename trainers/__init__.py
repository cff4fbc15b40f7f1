"""Trainers: one file per paper and per comparator."""
