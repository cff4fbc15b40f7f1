"""Levels along the spine: finding instances by their voxels' votes, then numbering them by their order."""
