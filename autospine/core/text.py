"""Text that came from outside (names of files, headers, tables) made safe to show."""

from __future__ import annotations

from typing import TextIO

_CONTROLS = {*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)} - {0x09, 0x0A}
_UNDECODED = range(0xDC80, 0xDD00)  # bytes of a name that is not UTF-8
_SHOWN = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _CONTROLS}
_SHOWN |= {code: f"\\x{code - 0xDC00:02x}" for code in _UNDECODED}


def printable(text: str) -> str:
    r"""Return text without what a terminal would obey or cannot show; line ends and tabs stay.

    Example:
        >>> printable("1_t2\x1b[2J")
        '1_t2\\x1b[2J'
    """
    return text.translate(_SHOWN)


class PrintableStream:
    """A text stream that makes everything printable before it writes it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text, made printable; letters that the stream's encoding lacks, such as ± in ASCII, as escapes."""
        encoding = self._stream.encoding or "utf-8"
        return self._stream.write(printable(text).encode(encoding, "backslashreplace").decode(encoding))

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
