"""Training: recipes, the loop, its batches and its checkpoints."""
