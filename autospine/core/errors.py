"""Report a user's mistake as one line that names the file, the problem and a hint."""

from __future__ import annotations

from pathlib import Path

from autospine.core.text import printable


class UserError(Exception):
    """Report a mistake that the user can correct.

    Args:
        where: The file, folder, case or option concerned.
        problem: What is wrong with it.
        hint: What to do about it.

    Example:
        >>> str(UserError("5_t2.mha", "holds 4 axes", "split it into 3-D files"))
        '5_t2.mha: holds 4 axes; split it into 3-D files'
    """

    def __init__(self, where: str | Path, problem: str, hint: str) -> None:
        self.where, self.problem, self.hint = str(where), problem, hint
        super().__init__(where, problem, hint)  # three arguments, so that it pickles

    def __str__(self) -> str:
        one_line = f"{self.where}: {self.problem}; {self.hint}"
        return printable(" ".join(one_line.split()))
