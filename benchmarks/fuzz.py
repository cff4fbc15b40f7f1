"""Damaged files for every reader and command: one line each, or an answer; never a traceback, a crash or a hang.

    python benchmarks/fuzz.py [--files 2000] [--seed 1] [--kinds mha dicom predict]

The first file of each kind is left whole and has to be read; the others are damaged by a seed, a kind in a process of
its own, with limits of memory and time. Counted are tracebacks (also those that a command's boundary turned into a
line), crashes of the process, hangs over 20 s, over 2 GB of memory, outputs that are half-written, and inputs or good
cases that are lost.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests' tiny spines are its material
from attacks import KINDS, Case, prepare

HANG_SECONDS, MEMORY = 20, 2 * 10**9
FAULTS = ("traceback", "crash", "hang", "memory", "half-written", "lost")


class HangError(BaseException):
    """A case took too long; no handler of Exception keeps it."""


def attempt(kind: str, number: int, seed: int, base: Path, folder: Path) -> tuple[str, str]:
    """Run one case; return "fine" or a fault, and what is known of it."""
    case = Case(folder, base, Random(f"{kind} {number} {seed}"), control=number == 0)
    attack = KINDS[kind][0](case)
    next(attack)
    before = digests(folder / "input")
    reset_peak_memory()
    start = peak_memory()
    signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
    try:
        next(attack, None)
    except HangError:
        return "hang", traceback.format_exc()
    except LookupError as error:
        return ("lost" if str(error).startswith("lost: ") else "traceback"), traceback.format_exc()
    except MemoryError:
        return "memory", traceback.format_exc()
    except (Exception, SystemExit):
        return "traceback", traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    taken = peak_memory() - start
    if taken > MEMORY:
        return "memory", f"{taken / 1e9:.1f} GB"
    after = digests(folder / "input")
    if before != after:
        return "lost", f"inputs changed: {sorted(set(before.items()) ^ set(after.items()))}"
    return half_written(folder / "out")


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def half_written(folder: Path) -> tuple[str, str]:
    """Look for what is not whole in a command's output."""
    from autospine.core.errors import UserError
    from autospine.volumes import read_mask

    for path in folder.rglob("*"):
        try:
            if ".partial." in path.name:
                return "half-written", f"left behind: {path.name}"
            if path.suffix == ".json":
                json.loads(path.read_text())
            elif path.name.endswith((".mha", ".nii", ".nii.gz", ".nrrd")) and path.is_file():
                read_mask(path)
        except (ValueError, UserError) as error:
            return "half-written", f"{path.name}: {error}"
    return "fine", ""


def reset_peak_memory() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Return bytes of the highest resident memory; 0 where the system does not tell."""
    with suppress(OSError):
        return 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    return 0


def limit_memory() -> None:
    """Let this process take 4 GB more than it has: above what is counted, so that it is the case that is counted."""
    import resource

    with suppress(OSError):
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + 2 * MEMORY, resource.RLIM_INFINITY))


def serve(options: argparse.Namespace) -> None:
    """Run cases of one kind in this process, a line of JSON before and after each."""

    def hang(*_: object) -> None:
        raise HangError

    signal.signal(signal.SIGALRM, hang)
    import torch
    import torch._dynamo  # which optimisers import late: a slow machine's hang must not end it half-way

    torch.set_num_threads(1)
    from autospine.core import registry

    registry.load("trainers", "unet")
    logging.disable(logging.WARNING)  # readers warn of what is doubtful
    limit_memory()
    kind, base = options.kinds[0], options.material
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for number in range(options.first, options.first + options.files):
        answers.write(json.dumps([number, "started", ""]) + "\n")
        with TemporaryDirectory(dir=base.parent, ignore_cleanup_errors=True) as folder:
            outcome, text = attempt(kind, number, options.seed, base, Path(folder))
        answers.write(json.dumps([number, outcome, text]) + "\n")


@dataclass
class Batch:
    """Cases of one kind, in processes that are renewed after a crash."""

    kind: str
    files: int
    seed: int
    material: Path

    def run(self) -> list[tuple[int, str, str]]:
        """Return number, outcome and text of each case."""
        done: list[tuple[int, str, str]] = []
        first = 0
        while first < self.files:
            done += self._process(first)
            first = done[-1][0] + 1
        return done

    def _process(self, first: int) -> list[tuple[int, str, str]]:
        command = [sys.executable, __file__, "--serve", "--kinds", self.kind, "--seed", str(self.seed)]
        command += ["--first", str(first), "--files", str(self.files - first), "--material", str(self.material)]
        seconds = 60 + 2 * HANG_SECONDS + 10 * (self.files - first)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        lines = [tuple(json.loads(line)) for line in out.splitlines()]
        if not lines:
            raise SystemExit(f"fuzz: {self.kind} could not start: {err[-2000:]}")
        ended = [line for line in lines if line[1] != "started"]
        if lines[-1][1] == "started":
            outcome = "hang" if process.returncode == -signal.SIGKILL else "crash"
            ended.append((lines[-1][0], outcome, f"exit status {process.returncode}: {err[-2000:]}"))
        return ended


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000, help="damaged files of all kinds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=tuple(KINDS), default=list(KINDS))
    for name, kind in (("--first", int), ("--material", Path)):
        parser.add_argument(name, type=kind, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options)
        return 0
    with TemporaryDirectory(prefix="fuzz_") as folder:
        base = Path(folder) / "material"
        base.mkdir()
        prepare(base)
        return run_all(options, base)


def run_all(options: argparse.Namespace, base: Path) -> int:
    """Run every kind; print counts and faults, return 1 if there was one."""
    shares = {kind: KINDS[kind][1] for kind in options.kinds}
    total: Counter[str] = Counter()
    print(f"{'kind':12s} {'files':>6s} {'seconds':>8s}  " + "  ".join(FAULTS))
    for kind, share in shares.items():
        started, files = time.monotonic(), max(1, round(options.files * share / sum(shares.values())))
        outcomes = Batch(kind, files, options.seed, base).run()
        counts = Counter(outcome for _, outcome, _ in outcomes)
        total += counts
        figures = "  ".join(f"{counts[fault]:{len(fault)}d}" for fault in FAULTS)
        print(f"{kind:12s} {len(outcomes):6d} {time.monotonic() - started:8.1f}  {figures}", flush=True)
        for number, outcome, text in outcomes:
            if outcome != "fine":
                print(f"\n{outcome}: {kind} {number} (seed {options.seed})\n{text}", flush=True)
    faults = sum(total[fault] for fault in FAULTS)
    print(f"{total.total()} files, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
