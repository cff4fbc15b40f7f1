"""Ablation: a paper's variants trained alike, and its tables beside the published figures."""
