"""Memory and time of SAFNet at the published size, 18 x 256 x 128, batch 1: one training step and one prediction.

Each in a process of its own, in float32 and in bf16 autocast; the peak is the whole process's resident memory, its
imports included. Beside them, the growth without attention, which shows what the position attention adds. Target:
training under 3 GB.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

from figures import machine

SIZE = (18, 256, 128)
CLASSES = 19
TARGET_MIB = 2861  # 3 GB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", nargs=3, metavar=("WORK", "TYPE", "ATTENTION"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(*measure(*options.one, options.repeats))
        return
    print(machine())
    print(f"{'':>10s}{'type':>10s}{'attention':>12s}{'seconds':>10s}{'peak MiB':>10s}")
    for work in ("train", "predict"):
        for kind in ("float32", "bfloat16"):
            for attention in ("with", "without"):
                seconds, peak = apart(work, kind, attention, options.repeats)
                over = "  over the target" if work == "train" and peak > TARGET_MIB else ""
                print(f"{work:>10s}{kind:>10s}{attention:>12s}{seconds:10.2f}{peak:10.0f}{over}")


def apart(work: str, kind: str, attention: str, repeats: int) -> tuple[float, float]:
    line = [sys.executable, __file__, "--one", work, kind, attention, "--repeats", str(repeats)]
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    seconds, peak = done.stdout.split()
    return float(seconds), float(peak)


def measure(work: str, kind: str, attention: str, repeats: int) -> tuple[float, float]:
    """Median seconds of a step and the process's peak in MiB."""
    import torch
    from torch.nn import functional as F

    from autospine.networks.safnet import SAFNet, SAFNetComponents

    torch.manual_seed(0)
    network = SAFNet(1, CLASSES, components=SAFNetComponents(attention=attention == "with"))
    network = network.to(memory_format=torch.channels_last_3d)
    optimiser = torch.optim.Adam(network.parameters(), 1e-3, weight_decay=1e-4)
    image = torch.randn(1, 1, *SIZE)
    labels = torch.randint(0, CLASSES, (1, *SIZE))

    def train() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "bfloat16"):
            logits = network.train()(image)
        F.cross_entropy(logits.float(), labels).backward()
        optimiser.step()
        optimiser.zero_grad()

    def predict() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=kind == "bfloat16"):
            network.eval()(image)

    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        (train if work == "train" else predict)()
        seconds.append(time.perf_counter() - start)
    timed = sorted(seconds[1:])  # the first one loads kernels
    return timed[len(timed) // 2], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
