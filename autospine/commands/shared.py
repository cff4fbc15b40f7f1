"""What every command shares: logging, errors as one line, exit status."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from textwrap import fill

RESEARCH_ONLY = "For research, not a medical device."


def parser(description: str, examples: str) -> argparse.ArgumentParser:
    """An argument parser with examples below the options and the flags that all commands share."""
    made = argparse.ArgumentParser(
        description=fill(description, 100),
        epilog=f"examples:\n{examples}\n\n{RESEARCH_ONLY}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--debug", action="store_true", help="show tracebacks and debug messages")
    return made


def add_device(made: argparse.ArgumentParser) -> None:
    """Adds --device."""
    made.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute (default: auto)"
    )


def add_workers(made: argparse.ArgumentParser) -> None:
    """Adds --workers."""
    made.add_argument("--workers", type=int, default=0, metavar="N", help="processes at once (default: one per core)")


def start_logging(debug: bool) -> None:
    """Messages to standard error, plain."""
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.INFO, format="%(message)s", stream=sys.stderr, force=True
    )
    for noisy in ("matplotlib", "nibabel", "PIL", "torch", "h5py", "fsspec", "numexpr"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def run(made: argparse.ArgumentParser, action: Callable[[argparse.Namespace], int]) -> int:
    """Parses, runs and answers the exit status: 0 well, 2 a user's mistake, 130 interrupted."""
    options = made.parse_args()
    start_logging(options.debug)
    from autospine.core.errors import UserError

    try:
        return action(options)
    except UserError as error:
        if options.debug:
            raise
        sys.stderr.write(f"{made.prog}: error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"{made.prog}: interrupted; run the same command again to continue\n")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
