"""What every command shares: options, requests, logging, errors as one line, exit status."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import fields
from pathlib import Path
from textwrap import fill
from typing import Any, Protocol, TextIO, TypeVar, cast

from autospine.core.tables import DISCLAIMER
from autospine.core.text import PrintableStream, printable
from autospine.core.version import __version__
from autospine.models.installed import START

Request = TypeVar("Request")


def make_parser(description: str, examples: str) -> argparse.ArgumentParser:
    """Return an argument parser with examples below the options and the flags that all commands share."""
    parser = argparse.ArgumentParser(
        description=fill(description, 100),
        epilog=f"examples:\n{examples}\n\n{DISCLAIMER}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks and debug messages")
    add_version(parser)
    return parser


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add --version."""
    parser.add_argument("--version", action="version", version=f"AutoSpine {__version__}", help="show it and end")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add --device."""
    parser.add_argument(
        "--device", default="auto", metavar="auto|cpu|cuda|cuda:N|mps", help="where to compute (default: auto)"
    )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add --workers."""
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes at once (default: one per core)")


def add_input(parser: argparse.ArgumentParser, dest: str, text: str, several: bool = False) -> None:
    """Add -i, --input: one path or several."""
    parser.add_argument(
        "-i", "--input", dest=dest, required=True, type=Path, nargs="+" if several else None, metavar="IN", help=text
    )


def add_output(parser: argparse.ArgumentParser, text: str) -> None:
    """Add -o, --output."""
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="OUT", help=text)


def add_models(parser: argparse.ArgumentParser, text: str = "", required: bool = False) -> None:
    """Add -m, --model: one folder or several, or names of installed models."""
    text = text or "model folder(s), or an installed model's name (default: the model in the box; see autospine_models)"
    parser.add_argument(
        "-m", "--model", dest="models", nargs="+", required=required, default=[], type=Path, metavar="MODEL", help=text
    )


def add_start(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add --init-from; without a default of the command's own it is that of every training."""
    parser.add_argument(
        "--init-from",
        default=default,
        metavar="MODEL|box|none",
        help="weights to start from: a model's folder, an installed model's name, the model in the box, or fresh ones "
        f"(default: {default or START})",
    )


def add_mask_labels(parser: argparse.ArgumentParser, option: str) -> None:
    """Add the option that names the label scheme of the masks that are read."""
    parser.add_argument(
        option, metavar="SCHEME", help="what the masks' integers mean (default: what dataset.json says, else spider)"
    )


def add_training(parser: argparse.ArgumentParser, unit: str) -> None:
    """Add how long to train, from which seed, where, and whether to go on; `unit` is a "fold" or a "variant"."""
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of weights and patches (default: 0)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, metavar="N", help=f"of each {unit} (default: the recipe's)")
    length.add_argument("--minutes", type=float, metavar="M", help=f"for each {unit}, validation included")
    add_device(parser)
    parser.add_argument("--continue", dest="resume", action="store_true", help="go on where a training stopped")


def make_request(kind: Callable[..., Request], options: argparse.Namespace) -> Request:
    """Return a request filled from the options that bear its fields' names; lists become tuples."""
    values: dict[str, Any] = {field.name: getattr(options, field.name) for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


class Result(Protocol):
    """What came of many cases."""

    @property
    def failures(self) -> Sequence[str]:
        """Return a line for each case that failed."""

    def describe(self) -> str:
        """Return what a person reads at the end."""


def report(result: Result) -> int:
    """Print what came of many cases, and return the exit status: 2 if one failed."""
    print(result.describe())
    return 2 if result.failures else 0


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def start_logging(debug: bool) -> None:
    """Send messages to standard error, plain."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable("%(message)s"))
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler], force=True)
    for noisy in ("nibabel", "PIL", "torch", "h5py", "fsspec", "numexpr"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # without a home it warns of its folder at every start


def run(parser: argparse.ArgumentParser, action: Callable[[argparse.Namespace], int]) -> int:
    """Parse, act and return the exit status: 0 well, 2 a user's mistake, 130 interrupted."""
    options = parser.parse_args()
    start_logging(options.debug)
    from autospine.core.boundary import Boundary
    from autospine.core.errors import UserError

    try:
        with redirect_stdout(cast(TextIO, PrintableStream(sys.stdout))):
            return action(options)
    except UserError as error:
        if options.debug:
            raise
        line = error
    except KeyboardInterrupt:
        again = (
            "the same command with --continue goes on" if hasattr(options, "resume") else "run the same command again"
        )
        sys.stderr.write(f"{parser.prog}: interrupted; {again}\n")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if options.debug:
            raise
        folder = getattr(options, "output", None) or getattr(options, "work", None)
        line = Boundary(parser.prog, folder).line(str(folder or "this run"), error)
    sys.stderr.write(f"{parser.prog}: error: {line}\n")
    return 2
