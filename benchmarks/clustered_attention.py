"""Time, memory and error of clustered attention against full attention, by the number of positions.

64 clusters and 4 heads of 32 channels, forward and backward. Full attention is PyTorch's fused kernel and, for memory,
the materialised matrix (softmax(q k^T) v as written). Each memory figure is the growth of the peak of a process of its
own. Targets: growth linear in N; memory under a twentieth of the materialised attention's at 16384; time at most a
quarter of the fused kernel's at 65536.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

from figures import machine

CLUSTERS, HEADS, WIDTH = 64, 4, 32
SIZES = (1024, 4096, 16384, 65536)
KINDS = ("clustered", "fused", "materialised")
LARGEST_MATERIALISED = 16384


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("KIND", "N"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(*measure(options.one[0], int(options.one[1]), options.repeats))
        return
    print(machine())
    print(f"{'N':>8s}" + "".join(f"{kind + ' s':>16s}{'MiB':>10s}" for kind in KINDS))
    found: dict[tuple[str, int], tuple[float, float]] = {}
    for size in SIZES:
        for kind in KINDS:
            if kind != "materialised" or size <= LARGEST_MATERIALISED:
                found[kind, size] = apart(kind, size, options.repeats)
        cells = (found.get((kind, size)) for kind in KINDS)
        print(f"{size:8d}" + "".join(f"{c[0]:16.3f}{c[1]:10.0f}" if c else f"{'-':>16s}{'-':>10s}" for c in cells))
    clustered = found["clustered", 16384][1] / found["materialised", 16384][1]
    print(f"memory at 16384, clustered over materialised: 1/{1 / clustered:.0f}  target at most 1/20")
    share = found["clustered", 65536][0] / found["fused", 65536][0]
    print(f"time at 65536, clustered over fused: {share:.3f}  target at most 0.25")
    growth = found["clustered", 65536][0] / found["clustered", 16384][0]
    print(f"time of clustered, 65536 over 16384 positions: {growth:.2f}  linear is 4, quadratic 16")
    errors()


def apart(kind: str, size: int, repeats: int) -> tuple[float, float]:
    """Seconds and MiB, measured in a process of its own."""
    line = [sys.executable, __file__, "--one", kind, str(size), "--repeats", str(repeats)]
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)


def measure(kind: str, size: int, repeats: int) -> tuple[float, float]:
    """Median seconds of forward and backward, and the growth of the peak memory in MiB."""
    import torch
    from torch.nn import functional as F

    from autospine.networks.clustered_attention import clustered_attention

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        if kind == "clustered":
            return clustered_attention(query, key, value, CLUSTERS)
        if kind == "fused":
            return F.scaled_dot_product_attention(query, key, value)
        return (query @ key.transpose(2, 3) / WIDTH**0.5).softmax(3) @ value

    generator = torch.Generator().manual_seed(0)

    def run(count: int) -> float:
        query, key, value = (
            torch.randn(1, HEADS, count, WIDTH, generator=generator).requires_grad_() for _ in range(3)
        )
        start = time.perf_counter()
        attend(query, key, value).sum().backward()
        return time.perf_counter() - start

    run(64)  # loads the kernels
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = sorted(run(size) for _ in range(repeats))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return seconds[len(seconds) // 2], (after - before) / 1024


def errors() -> None:
    """Relative error against full attention, 1024 positions, as the clusters become as many as positions."""
    import torch
    from torch.nn import functional as F

    from autospine.networks.clustered_attention import clustered_attention

    query, key, value = torch.randn(3, 1, HEADS, 1024, WIDTH, generator=torch.Generator().manual_seed(0))
    full = F.scaled_dot_product_attention(query, key, value)
    for clusters in (1, 16, 64, 256, 512, 1024):
        error = float((clustered_attention(query, key, value, clusters) - full).norm() / full.norm())
        print(f"relative error at N = 1024 with {clusters:4d} clusters: {error:.2e}")


if __name__ == "__main__":
    main()
