"""Ablation: a paper's variants trained alike, and its tables with ours beside the published figures."""
