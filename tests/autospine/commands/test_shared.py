from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autospine.commands.main import COMMANDS as MAIN
from autospine.commands.main import main
from autospine.commands.shared import add_device, add_training, add_workers, make_parser, run
from autospine.core.boundary import _temporary
from autospine.core.errors import UserError
from autospine.core.tables import DISCLAIMER
from autospine.core.version import __version__
from tests.paths import ROOT

COMMANDS = (
    "main",
    "plan",
    "train",
    "ablate",
    "ensemble",
    "predict",
    "evaluate",
    "measure",
    "phantom",
    "clean",
    "slices",
    "reconstruct",
    "view",
    "models",
    "export",
)


def acting(action: Callable[[argparse.Namespace], int]) -> Callable[[], int]:
    def main() -> int:
        parser = make_parser("Does something.", "  autospine_test")
        add_device(parser)
        add_workers(parser)
        return run(parser, action)

    return main


def fail(_: argparse.Namespace) -> int:
    raise UserError("1.mha", "is\nbad", "mend it")


def interrupt(_: argparse.Namespace) -> int:
    raise KeyboardInterrupt


def test_a_users_mistake_is_one_line_and_status_2(command: Callable) -> None:
    answer = command(acting(fail))
    assert answer.status == 2
    assert answer.err.endswith(": error: 1.mha: is bad; mend it\n")
    assert answer.err.count("\n") == 1
    assert answer.out == ""


def stumble(_: argparse.Namespace) -> int:
    raise RecursionError("too deep")


def test_what_nobody_foresaw_is_one_line_too(
    command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    _temporary.cache_clear()
    answer = command(acting(stumble))
    _temporary.cache_clear()
    assert answer.status == 2
    (line,) = answer.err.splitlines()
    (traces,) = tmp_path.iterdir()
    assert line.endswith(f" met an unexpected RecursionError (too deep); its full trace is in {traces}")
    assert "in stumble" in traces.read_text()
    with pytest.raises(RecursionError):
        command(acting(stumble), "--debug")


def test_debug_shows_where_it_came_from(command: Callable) -> None:
    with pytest.raises(UserError):
        command(acting(fail), "--debug")


def test_an_interrupt_says_how_to_continue(command: Callable) -> None:
    answer = command(acting(interrupt))
    assert answer.status == 130
    assert answer.err.endswith("interrupted; run the same command again\n")


def test_an_interrupted_training_is_continued_by_its_option(command: Callable) -> None:
    def main() -> int:
        parser = make_parser("Trains.", "  autospine_test")
        add_training(parser, "fold")
        return run(parser, interrupt)

    assert command(main).err.endswith("interrupted; the same command with --continue goes on\n")


def test_the_actions_status_is_the_commands(command: Callable) -> None:
    assert command(acting(lambda _: 0)).status == 0
    assert command(acting(lambda _: 3)).status == 3


def test_options_that_all_share(command: Callable) -> None:
    seen: list[argparse.Namespace] = []
    command(acting(lambda options: seen.append(options) or 0), "--device", "cpu", "--workers", "3")
    assert (seen[0].device, seen[0].workers, seen[0].debug) == ("cpu", 3, False)
    assert command(acting(fail), "--device", "toaster").status == 2
    assert command(acting(fail), "--workers", "many").status == 2


@pytest.mark.parametrize("module", COMMANDS)
def test_every_command_says_its_version(command: Callable, module: str) -> None:
    answer = command(importlib.import_module(f"autospine.commands.{module}").main, "--version")
    assert (answer.status, answer.out) == (0, f"AutoSpine {__version__}\n")


def test_without_a_word_all_commands_are_listed(command: Callable) -> None:
    answer = command(main)
    assert answer.status == 0
    assert all(name.split()[0] in answer.out for name in MAIN)
    assert command(main, "predict").status == 2


def test_help_ends_with_what_it_is_for(command: Callable) -> None:
    assert DISCLAIMER in command(acting(fail), "--help").out


@pytest.mark.slow
@pytest.mark.parametrize("module", COMMANDS)
def test_help_imports_nothing_heavy(module: str) -> None:
    code = (
        f"import sys; sys.argv = ['x', '--help']; from autospine.commands.{module} import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('heavy:', sorted({'torch', 'numpy', 'scipy', 'SimpleITK', 'matplotlib'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert "heavy: []" in found.stdout


@pytest.mark.slow
def test_a_closed_pipe_is_no_error() -> None:
    code = (
        "import sys; from autospine.commands.shared import make_parser, run\n"
        "def talk(_):\n  for n in range(100000): print('line', n)\n  return 0\n"
        "sys.exit(run(make_parser('x', 'x'), talk))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    talking = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    assert talking.stdout is not None and talking.stderr is not None
    talking.stdout.readline()
    time.sleep(0.1)
    talking.stdout.close()
    err = talking.stderr.read()
    talking.stderr.close()
    assert talking.wait(timeout=20) == 0
    assert err == b""


def test_without_a_home_nothing_is_said_of_it(tmp_path: Path) -> None:
    (tmp_path / "home").touch()  # where no folder can be made
    code = (
        "from autospine.commands.shared import start_logging; start_logging(False); import matplotlib.font_manager; "
        "print(matplotlib.get_configdir())"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MPL", "XDG"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**environment, "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.startswith(str(tmp_path))  # a temporary one
    assert done.stderr == ""
