"""Clean masks by the rules of Ahmed et al. on label maps."""
