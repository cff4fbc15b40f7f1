"""Transform cases on top of a plan's preprocessing, as a recipe lists."""
