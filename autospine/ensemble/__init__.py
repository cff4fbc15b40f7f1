"""Ensembles: models whose soft-max probabilities are blended, each with its weight."""
