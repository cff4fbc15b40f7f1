"""Measurements of a lumbar spine's masks: heights, angles, slips, diameters, each with unit, source and uncertainty."""
