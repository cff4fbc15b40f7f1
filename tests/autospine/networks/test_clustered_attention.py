from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn import functional as F

from autospine.networks.clustered_attention import AttentionBlock, assign, clustered_attention


def triple(count: int, seed: int = 0, width: int = 8, heads: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    query, key, value = torch.randn(3, 1, heads, count, width, generator=generator)
    return query, key, value


def test_as_many_clusters_as_queries_is_full_attention() -> None:
    query, key, value = triple(50)
    full = F.scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(clustered_attention(query, key, value, 50), full)
    torch.testing.assert_close(clustered_attention(query, key, value, 500), full)


def test_the_error_shrinks_as_clusters_grow() -> None:
    query, key, value = triple(256)
    full = F.scaled_dot_product_attention(query, key, value)
    errors = [float((clustered_attention(query, key, value, count) - full).norm()) for count in (1, 8, 64, 192, 256)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-4 < errors[0]


def test_it_is_the_papers_equations() -> None:
    """Equations 12 to 14 with the cluster weight matrix W written out."""
    query, key, value = (each.double() for each in triple(40))
    assignment = assign(query, 6)
    weights = F.one_hot(assignment, 6).double()  # (1, heads, N, C)
    centroids = (weights.transpose(2, 3) @ query) / weights.sum(2)[..., None].clamp(min=1)
    scores = (centroids @ key.transpose(2, 3) / query.shape[3] ** 0.5).softmax(3)
    torch.testing.assert_close(clustered_attention(query, key, value, 6), weights @ (scores @ value))


def test_clusters_are_those_of_scikit_learn_from_the_same_start() -> None:
    generator = torch.Generator().manual_seed(3)
    centres = 4 * torch.randn(5, 6, generator=generator)
    query = (centres[torch.arange(200) % 5] + 0.3 * torch.randn(200, 6, generator=generator))[None, None]
    start = query[0, 0, torch.arange(5) * 200 // 5]
    expected = KMeans(5, init=start.numpy(), n_init=1, max_iter=3, algorithm="lloyd").fit(query[0, 0].numpy())
    assert assign(query, 5)[0, 0].tolist() == expected.labels_.tolist()


def test_clusters_are_the_same_under_autocast() -> None:
    """What all queries share is far larger than what sets them apart."""
    query = 8 + triple(300)[0]
    alone = assign(query, 16)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(assign(query, 16), alone)


@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_queries_of_one_cluster_get_one_answer(count: int, clusters: int, seed: int) -> None:
    query, key, value = triple(count, seed, width=4, heads=1)
    answer = clustered_attention(query, key, value, clusters)
    assignment = assign(query, min(clusters, count))
    assert answer.isfinite().all()
    assert answer.shape == query.shape
    for cluster in assignment.unique():
        members = answer[0, 0, assignment[0, 0] == cluster]
        assert torch.equal(members, members[:1].expand_as(members))


def test_gradients_reach_queries_through_their_centroids() -> None:
    query, key, value = (each.requires_grad_() for each in triple(30))
    clustered_attention(query, key, value, 4).square().sum().backward()
    for each in (query, key, value):
        assert each.grad is not None
        assert each.grad.isfinite().all()
        assert each.grad.any()
    assert query.grad is not None
    same = assign(query, 4)[0, 0] == assign(query, 4)[0, 0, 0]
    shared = query.grad[0, 0, same]
    torch.testing.assert_close(shared, shared[:1].expand_as(shared))


def test_equal_queries_do_no_harm() -> None:
    query = torch.ones(1, 1, 20, 4)
    answer = clustered_attention(query, *triple(20, width=4, heads=1)[1:], 5)
    assert answer.isfinite().all()
    assert torch.equal(answer, answer[:, :, :1].expand_as(answer))


def test_a_cluster_at_least() -> None:
    with pytest.raises(ValueError, match="clusters is 0"):
        clustered_attention(*triple(4), 0)


@pytest.mark.parametrize("clusters", [None, 16])
def test_the_block_keeps_the_slices_shape_and_follows_permutations(clusters: int | None) -> None:
    torch.manual_seed(0)
    block = AttentionBlock(8, heads=2, clusters=clusters).eval()
    x = torch.randn(2, 8, 4, 4)
    with torch.no_grad():
        answer = block(x)
    assert answer.shape == x.shape
    if clusters is None or clusters >= 16:
        flipped = x.flip(3)
        with torch.no_grad():
            torch.testing.assert_close(block(flipped), answer.flip(3), rtol=1e-4, atol=1e-5)


def test_heads_must_divide_the_channels() -> None:
    with pytest.raises(ValueError, match="not a multiple of 4"):
        AttentionBlock(6)
