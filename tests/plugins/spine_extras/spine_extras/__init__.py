"""A trainer and a planner for AutoSpine."""
