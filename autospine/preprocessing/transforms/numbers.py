"""What the numbers of a step must be; a recipe's mistake becomes a line that names the number."""

from __future__ import annotations


def check_count(name: str, value: float, least: int = 1) -> None:
    """Refuses what is not a whole number from `least` on.

    Raises:
        ValueError: It is not.
    """
    if not float(value).is_integer() or value < least:
        raise ValueError(f"{name} is {value:g}, not a whole number from {least} on")


def check_flag(name: str, value: float) -> None:
    """Refuses what is neither 0 nor 1.

    Raises:
        ValueError: It is neither.
    """
    if value not in (0, 1):
        raise ValueError(f"{name} is {value:g}, neither 0 nor 1")
