"""The boundary around a case: what nobody foresaw is one line of that case, and its full trace goes to a file."""

from __future__ import annotations

import logging
import os
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TypeVar

from autospine.core.errors import UserError
from autospine.core.files import FULL_DISK

log = logging.getLogger(__name__)
Argument = TypeVar("Argument")
Result = TypeVar("Result")
TRACES = "autospine_errors.log"
LONGEST = 200  # letters of an error's own message


@dataclass(frozen=True)
class Boundary:
    """What is done to cases, so that an error can say it."""

    doing: str  # such as "predict"
    output: Path | None = None  # folder that gets the full traces; None takes a temporary file

    def attempt(self, case: str, work: Callable[[Argument], Result], argument: Argument) -> Result | UserError:
        """Return what `work` returns for one case, or what went wrong with it."""
        try:
            return work(argument)
        except UserError as error:
            return error
        except Exception as error:
            return self.line(case, error)

    def line(self, case: str, error: Exception) -> UserError:
        """Write down an unexpected error's trace, and return the line that says where it is; a full disk needs none.

        Args:
            case: Whose turn it was.
            error: What was raised.
        """
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            where = "the disk of the output or of temporary files is full"
            return UserError(str(error.filename or case), where, "free some space and run the command again")
        trace = "".join(traceback.format_exception(error))
        log.debug("%s", trace)
        message = " ".join(str(error).split())[:LONGEST]
        problem = f"{self.doing} met an unexpected {type(error).__name__}" + (f" ({message})" if message else "")
        if isinstance(error, MemoryError):
            problem = f"{self.doing} needs more memory than there is" + (f" ({message})" if message else "")
        written = self._write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {self.doing} {case}\n{trace}\n")
        where = f"its full trace is in {written}" if written else "--debug shows its full trace"
        return UserError(case, problem, where)

    def _write(self, text: str) -> Path | None:
        """Append to a file beside the output, or where there is none or it takes nothing, to a temporary one."""
        for find in (self._beside_output, _temporary):
            with suppress(OSError):
                path = find()
                with open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
                    file.write(text)
                return path
        return None

    def _beside_output(self) -> Path:
        if self.output is None:
            return _temporary()
        self.output.mkdir(parents=True, exist_ok=True)
        return self.output / TRACES


@cache
def _temporary() -> Path:
    """Make this process's own file, which nobody else can have put there."""
    handle, name = tempfile.mkstemp(prefix="autospine_errors_", suffix=".log")
    os.close(handle)
    return Path(name)
