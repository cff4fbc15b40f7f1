"""What a user's mistake becomes: one line that names the file, the fault and the mend."""

from __future__ import annotations

from pathlib import Path


class UserError(Exception):
    """A mistake that the user can mend.

    Args:
        subject: The file, folder, case or option at fault.
        fault: What is wrong with it.
        mend: What to do about it.

    Example:
        >>> str(UserError("5_t2.mha", "holds 4 axes", "split it into 3-D files"))
        '5_t2.mha: holds 4 axes; split it into 3-D files'
    """

    def __init__(self, subject: str | Path, fault: str, mend: str) -> None:
        self.subject, self.fault, self.mend = str(subject), fault, mend
        super().__init__(subject, fault, mend)  # three arguments, so that it pickles

    def __str__(self) -> str:
        one_line = f"{self.subject}: {self.fault}; {self.mend}"
        return " ".join(one_line.split())
