"""Networks: what a plan's shape becomes."""
