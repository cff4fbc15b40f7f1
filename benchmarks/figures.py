"""What the benchmarks share: the machine's kind, repeated timing with its spread, and data to work on."""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from autospine.core.machine import cores, machine_memory_gib

Run = Callable[[], float]


@dataclass(frozen=True)
class Spread:
    """Seconds of repeated runs."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Return the figure to compare."""
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        return f"{self.median:8.3f} s  ({min(self.seconds):.3f} to {max(self.seconds):.3f}, n={len(self.seconds)})"


def alternate(runs: dict[str, Run], repeats: int) -> dict[str, Spread]:
    """Time every run in turn, again and again, so that a busy machine is busy for all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            seconds[name].append(run())
    return {name: Spread(tuple(times)) for name, times in seconds.items()}


def ratios(above: Spread, below: Spread) -> Spread:
    """Return the ratio of every pair that was measured in turn."""
    return Spread(tuple(a / b for a, b in zip(above.seconds, below.seconds, strict=True)))


def print_ratio(name: str, ratio: Spread, target: str) -> None:
    low, high = min(ratio.seconds), max(ratio.seconds)
    print(f"{name:42s} {ratio.median:8.2f}    ({low:.2f} to {high:.2f})  target {target}")


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def command(name: str, *options: object) -> list[str]:
    """Return the command line that runs a command of AutoSpine with this interpreter."""
    start = f"from autospine.commands.{name} import main; raise SystemExit(main())"
    return [sys.executable, "-c", start, *map(str, options)]


def call(line: list[str]) -> str:
    """Run a command; stop the benchmark with the command's error line if it fails."""
    done = subprocess.run(line, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr or f"{' '.join(line)} failed")
    return done.stdout


def machine() -> str:
    """Describe the machine in a line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    kind = names[0] if names else platform.processor() or platform.machine()
    return f"{kind}, {cores()} cores, {machine_memory_gib():.0f} GiB, Python {platform.python_version()}"


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("dataset", nargs="?", type=Path, help="data set folder (default: a phantom, made now)")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each kind (default: 5)")
    return parser


@contextmanager
def workspace(dataset: Path | None) -> Iterator[tuple[Path, Path]]:
    """Yield the data set, a phantom if none is given, and an empty folder that is deleted afterwards."""
    print(machine())
    with TemporaryDirectory() as name:
        folder = Path(name)
        if dataset is None:
            dataset = folder / "phantom"
            call(command("phantom", dataset, "--cases", 6, "--seed", 1))
        print(f"data set: {dataset}")
        yield dataset, folder


def images(dataset: Path) -> list[Path]:
    """Return the scans of a data set."""
    from autospine.volumes import find_volumes

    return find_volumes(dataset / "images")
