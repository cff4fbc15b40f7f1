"""Mask cleaning: the rules of Ahmed et al. on label maps, as a recipe's step and as a command."""
