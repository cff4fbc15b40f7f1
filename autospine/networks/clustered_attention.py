"""Attention of clustered queries (Vyas et al. 2020, "Fast transformers with clustered attention"), and a block of it.

As Liu et al. 2024 use it for axial slices: queries are grouped by k-means, attention is computed for each cluster's
centroid, and each query takes its cluster's result (their equations 12 to 14). The cost is O(N C D), not O(N^2 D).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LLOYD_STEPS = 3
Attention = Literal["none", "full", "clustered"]


def clustered_attention(query: Tensor, key: Tensor, value: Tensor, clusters: int, steps: int = LLOYD_STEPS) -> Tensor:
    """Compute the attention of the clusters' centroids for every query of the cluster.

    Which query belongs to which cluster carries no gradient; the centroids, means of their queries, do. With as many
    clusters as queries it is attention itself. More clusters than queries are as many as queries.

    Returns:
        (B, heads, N, D) as the queries are; keys and values are (B, heads, M, D).
    """
    assignment = assign(query, min(clusters, query.shape[2]), steps)  # (B, heads, N)
    centroids = _means(query, assignment, min(clusters, query.shape[2]))  # (B, heads, C, D)
    outputs = F.scaled_dot_product_attention(centroids, key, value)  # (B, heads, C, D)
    return outputs.gather(2, assignment[..., None].expand(query.shape))


@torch.no_grad()
def assign(query: Tensor, clusters: int, steps: int = LLOYD_STEPS) -> Tensor:
    """Assign every query to a cluster by k-means, (B, heads, N) int64; of equally near centroids the first.

    Raises:
        ValueError: Fewer than one cluster.
    """
    if clusters < 1:
        raise ValueError(f"clusters is {clusters}, not at least 1")
    query = query.detach().float()
    count = query.shape[2]
    first = torch.arange(clusters, device=query.device) * count // clusters  # (C,)
    centroids = query[:, :, first]  # (B, heads, C, D)
    # Distances are small differences of large products: too small for half precision, to which autocast would return.
    with torch.autocast(query.device.type, enabled=False):
        for _ in range(steps):
            assignment = _nearest(query, centroids)
            sizes = _sizes(assignment, clusters)  # (B, heads, C)
            centroids = torch.where(sizes[..., None] > 0, _means(query, assignment, clusters), centroids)
        return _nearest(query, centroids)


def _nearest(query: Tensor, centroids: Tensor) -> Tensor:
    """Return the index of the nearest centroid: |q - c|^2 is smallest where q c - |c|^2 / 2 is largest."""
    similarity = query @ centroids.transpose(2, 3)  # (B, heads, N, C)
    return similarity.sub_(centroids.square().sum(3)[:, :, None] / 2).argmax(3)


def _sizes(assignment: Tensor, clusters: int) -> Tensor:
    sizes = torch.zeros((*assignment.shape[:2], clusters), device=assignment.device)
    return sizes.scatter_add_(2, assignment, torch.ones_like(assignment, dtype=sizes.dtype))


def _means(query: Tensor, assignment: Tensor, clusters: int) -> Tensor:
    """Compute the mean of each cluster's queries (equation 12), (B, heads, C, D); zeros where a cluster is empty."""
    wide = query.float() if query.dtype in (torch.bfloat16, torch.float16) else query  # sums of thousands
    sums = wide.new_zeros((*query.shape[:2], clusters, query.shape[3]))
    sums = sums.scatter_add(2, assignment[..., None].expand(query.shape), wide)
    return (sums / _sizes(assignment, clusters).clamp(min=1)[..., None].to(wide.dtype)).to(query.dtype)


class AttentionBlock(nn.Module):
    """Pre-norm attention over all positions of a slice, then a feed-forward twice as wide; both residual.

    There is no position code: the convolutions around it know where they are.

    Shape:
        (B, C, H, W) to the same.

    Args:
        channels: C, a multiple of `heads`.
        heads: Of the attention.
        clusters: Of the queries; None computes full attention with PyTorch's fused kernel.
    """

    def __init__(self, channels: int, heads: int = 4, clusters: int | None = 64) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"channels is {channels}, not a multiple of {heads} heads")
        self.heads, self.clusters = heads, clusters
        self.norm = nn.LayerNorm(channels)
        self.mix = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(channels),
            nn.Linear(channels, 2 * channels),
            nn.GELU(),
            nn.Linear(2 * channels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Compute the slice after the block."""
        tokens = x.flatten(2).transpose(1, 2)  # (B, N, C)
        tokens = tokens + self.out(self._attend(self.mix(self.norm(tokens))))
        tokens = tokens + self.feed_forward(tokens)
        return tokens.transpose(1, 2).reshape(x.shape)

    def _attend(self, mixed: Tensor) -> Tensor:
        """Attend, from queries, keys and values (B, N, 3 C) to (B, N, C)."""
        # Each (B, heads, N, C / heads).
        query, key, value = mixed.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).contiguous()
        if self.clusters is None:
            attended = F.scaled_dot_product_attention(query, key, value)
        else:
            attended = clustered_attention(query, key, value, self.clusters)
        return attended.transpose(1, 2).flatten(2)
