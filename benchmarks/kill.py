"""Kills commands at random moments, starts them again, and compares their files with those of an undisturbed run.

    python benchmarks/kill.py FOLDER --kills 40 --train-kills 10 --seed 1
    python benchmarks/kill.py FOLDER --commands plan clean

A command passes when, whenever SIGKILL came, no file is half-written, and the second start ends well, with the same
bytes in the same files, and nothing else. Every start is a fork of this process, in which everything is imported.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from math import inf
from pathlib import Path

from autospine.core.workspace import WorkFolder
from autospine.networks.shape import NetworkShape
from autospine.phantom.series import find_series
from autospine.planning.plan import Plans

COMMANDS = ("plan", "predict", "evaluate", "clean", "reconstruct", "slices", "measure", "train")
CASES = 6
VOLATILE = {"checkpoint.pt", "metrics.csv", "progress.png", "curves.png"}  # hold times; compared by being there
TEMPORARY = ".partial."


@dataclass(frozen=True)
class Command:
    """A command with its arguments.

    Attributes:
        name: As in autospine_NAME.
        arguments: Of the first start.
        output: Where everything that it writes lies.
        again: What the second start adds.
    """

    name: str
    arguments: tuple[str, ...]
    output: Path
    again: tuple[str, ...] = ()


@dataclass
class Tally:
    """What came of the kills of one command."""

    kills: int = 0
    late: int = 0  # ended before the signal came
    faults: list[str] = field(default_factory=list)

    def line(self, name: str, seconds: float) -> str:
        """Return a line of the table."""
        return f"{name:<12} {seconds:6.2f} s  {self.kills:4} kills  {self.late:3} late  {len(self.faults):3} faults"


def start(command: Command, log: Path, arguments: Sequence[str], kill_after: float | None = None) -> int | None:
    """Run a command in a fork; return its exit status, None where it was killed."""
    main = import_module(f"autospine.commands.{command.name}").main
    child = os.fork()
    if child == 0:
        os.setsid()
        with log.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.argv = [f"autospine_{command.name}", *arguments]
        status = 1
        try:
            status = main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        finally:
            sys.stdout.flush()
            os._exit(status)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)  # the child is not waited for yet, so the number is still its own
    _, ended = os.waitpid(child, 0)
    wait_for_workers(child)
    return os.WEXITSTATUS(ended) if os.WIFEXITED(ended) else None


def wait_for_workers(group: int) -> None:
    """Wait until the worker processes of a command that was killed have seen it and ended, 3 seconds at most."""
    with suppress(ProcessLookupError):
        for _ in range(300):
            os.killpg(group, 0)
            time.sleep(0.01)


def files_of(folder: Path) -> dict[str, str]:
    """Return a digest of every file, by its path in the folder."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = b"" if path.name in VOLATILE else path.read_bytes()
            digests[path.relative_to(folder).as_posix()] = hashlib.sha256(content).hexdigest()
    return digests


def trial(command: Command, whole: dict[str, str], moment: float, log: Path) -> tuple[bool, list[str]]:
    """Kill a command once and start it again; return whether it was killed, and what is wrong."""
    shutil.rmtree(command.output, ignore_errors=True)
    killed = start(command, log, command.arguments, moment) is None
    left = {name: digest for name, digest in files_of(command.output).items() if TEMPORARY not in name}
    faults = [f"{name} is half-written" for name, digest in left.items() if whole.get(name, digest) != digest]
    if killed:
        status = start(command, log, (*command.arguments, *command.again))
        if status != 0:
            faults.append(f"the second start ended with {status}: {log.read_text()[-300:]}")
    found = files_of(command.output)
    for name in sorted(whole.keys() | found.keys()):
        if whole.get(name) != found.get(name):
            faults.append(f"{name} {'differs' if name in whole and name in found else 'is there or not'}")
    return killed, faults


def measure(command: Command, kills: int, seed: int, folder: Path) -> tuple[Tally, float]:
    """Kill a command as often as asked, at moments that the seed draws."""
    log, tally = folder / f"{command.name}.log", Tally()
    seconds = inf
    for _ in range(2):  # the first may read files that the second finds in memory
        shutil.rmtree(command.output, ignore_errors=True)
        began = time.monotonic()
        if start(command, log, command.arguments) != 0:
            raise SystemExit(f"kill: {command.name} fails undisturbed: {log.read_text()[-2000:]}")
        seconds = min(seconds, time.monotonic() - began)
    whole = files_of(command.output)
    moments = random.Random(f"{command.name} {seed}")
    for _ in range(kills):
        moment = moments.uniform(0, seconds)
        killed, faults = trial(command, whole, moment, log)
        tally.kills, tally.late = tally.kills + killed, tally.late + (not killed)
        tally.faults += [f"{command.name}, killed after {moment:.3f} s: {fault}" for fault in faults]
    return tally, seconds


def prepare(folder: Path, names: Collection[str]) -> list[Command]:
    """Make a small data set, a work folder, a model and masks, as far as needed; return the commands to kill."""
    data, ready, masks, out = (folder / name for name in ("data", "ready", "masks", "out"))
    training, model = folder / "training", ready / "models" / "unet" / "2d_sagittal" / "adapted" / "fold_0"
    one = ("--workers", "1")
    plan = ("--device", "cpu", *one, "--folds", "3", "--pixel-spacing", "4")
    train = ("--device", "cpu", "--epochs", "1")
    scans = [str(data / "images" / f"{find_series(0, k).id}.mha") for k in range(2)]
    predict = ("-i", *scans, "-m", str(model), "--device", "cpu", *one)
    everything = ("--overlay", "--probabilities", "--panoptic")
    make(Command("phantom", (str(data), "--cases", str(CASES), "--size", "small", *one), data), folder)
    if {"predict", "evaluate"} & set(names):
        make(Command("plan", (str(data), str(ready), *plan), ready), folder)
        make(Command("train", (str(ready), *train), ready / "models"), folder)
        make(Command("predict", (*predict, "-o", str(masks)), masks), folder)
    if "train" in names:
        make(Command("plan", (str(data), str(training), *plan), training), folder)
    commands = [
        Command("plan", (str(data), str(out), *plan), out),
        Command("predict", (*predict, "-o", str(out), *everything), out),
        Command("evaluate", (str(masks), str(data), "-o", str(out), *one), out),
        Command("clean", ("-i", str(data), "-o", str(out), "--report", str(out / "changes.csv"), *one), out),
        Command("reconstruct", ("-i", str(data), "-o", str(out), "--slice-spacing", "2", *one), out),
        Command("slices", ("-i", str(data), "-o", str(out), "--size", "64", "80", *one), out),
        Command("measure", (str(data), "-o", str(out), *one), out),
        Command("train", (str(training), *train), training / "models", ("--continue",)),
    ]
    return [command for command in commands if command.name in names]


def make(command: Command, folder: Path) -> None:
    """Run a command whose output is needed, unless it is there; give plans a network and patches of seconds."""
    if command.output.exists():
        return
    log = folder / "prepare.log"
    if start(command, log, command.arguments) != 0:
        raise SystemExit(f"kill: {command.name} fails: {log.read_text()[-2000:]}")
    if command.name == "plan":
        shrink(WorkFolder(command.output).plans)


def shrink(path: Path) -> None:
    """Give the plans a network and patches of seconds."""
    plans = Plans.load(path)
    shape = NetworkShape(2, 1, plans.plans[0].encoding.channels, (4, 8), ((3, 3),) * 2, ((1, 1), (2, 2)))
    Plans(tuple(replace(plan, patch=(1, 64, 32), batch=2, network=shape) for plan in plans.plans)).save(path)


def load_everything() -> None:
    """Import what the commands import late, so that a fork starts at once."""
    import torch

    torch.set_num_threads(1)
    late = (
        "overlay.draw",
        "measurement.picture",
        "measurement.page",
        "inference.panoptic",
        "evaluation.report.html.page",
        "viewer.text",
        "ablation.run",
    )
    rooms = ("planning", "training", "inference", "evaluation", "cleaning", "reconstruction", "slices", "measurement")
    for name in (*(f"{room}.run" for room in rooms), *late):
        import_module(f"autospine.{name}")
    for name in ("blosc2", "SimpleITK", "matplotlib.pyplot", "planners.sagittal_2d", "trainers.unet"):
        import_module(name)


def main() -> int:
    """Measure, and print a line for each command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for everything that is made")
    parser.add_argument("--kills", type=int, default=40, help="of each command but train (default: 40)")
    parser.add_argument("--train-kills", type=int, default=10, help="of train (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=COMMANDS, help="default: all")
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    load_everything()
    faults = []
    for command in prepare(folder, options.commands):
        kills = options.train_kills if command.name == "train" else options.kills
        tally, seconds = measure(command, kills, options.seed, folder)
        print(tally.line(command.name, seconds), flush=True)
        faults += tally.faults
    print("\n".join(faults) or "every second start ended with the same bytes")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
