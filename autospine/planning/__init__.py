"""Planning: every decision with its reason."""
