"""Data sets of slices: PNG pairs with an index, for tools that take no volumes."""
