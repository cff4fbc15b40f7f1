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
        """The figure to compare."""
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        return f"{self.median:8.3f} s  ({min(self.seconds):.3f} to {max(self.seconds):.3f}, n={len(self.seconds)})"


def alternate(runs: dict[str, Run], repeats: int) -> dict[str, Spread]:
    """Times each run in turn, again and again, so that a busy machine is busy for all of them."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            found[name].append(run())
    return {name: Spread(tuple(seconds)) for name, seconds in found.items()}


def ratios(above: Spread, below: Spread) -> Spread:
    """Ratio of each pair that was measured in turn."""
    return Spread(tuple(a / b for a, b in zip(above.seconds, below.seconds, strict=True)))


def say_ratio(name: str, found: Spread, target: str) -> None:
    low, high = min(found.seconds), max(found.seconds)
    print(f"{name:42s} {found.median:8.2f}    ({low:.2f} to {high:.2f})  target {target}")


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def command(name: str, *options: object) -> list[str]:
    """A command of AutoSpine as this interpreter runs it."""
    start = f"from autospine.commands.{name} import main; raise SystemExit(main())"
    return [sys.executable, "-c", start, *map(str, options)]


def call(line: list[str]) -> str:
    """Runs a command; stops the benchmark with the command's own words if it fails."""
    done = subprocess.run(line, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr or f"{' '.join(line)} failed")
    return done.stdout


def machine() -> str:
    """The machine's kind in a line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    kind = names[0] if names else platform.processor() or platform.machine()
    return f"{kind}, {cores()} cores, {machine_memory_gib():.0f} GiB, Python {platform.python_version()}"


def parser(description: str | None) -> argparse.ArgumentParser:
    """Options that every benchmark has."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("dataset", nargs="?", type=Path, help="data set folder (default: a phantom, made now)")
    made.add_argument("--repeats", type=int, default=5, help="runs of each kind (default: 5)")
    return made


@contextmanager
def workplace(dataset: Path | None) -> Iterator[tuple[Path, Path]]:
    """The data set, a phantom if none is given, and an empty folder that vanishes afterwards."""
    print(machine())
    with TemporaryDirectory() as name:
        folder = Path(name)
        if dataset is None:
            dataset = folder / "phantom"
            call(command("phantom", dataset, "--cases", 6, "--seed", 1))
        print(f"data set: {dataset}")
        yield dataset, folder


def images(dataset: Path) -> list[Path]:
    """Its scans."""
    from autospine.volumes import find_volumes

    return find_volumes(dataset / "images")
