from __future__ import annotations

import io

from autospine.core.errors import UserError
from autospine.core.text import PrintableStream, printable


def test_nothing_that_a_terminal_obeys_is_left() -> None:
    assert printable("a\x1b[2Jb\r\x9b\x7f") == "a\\x1b[2Jb\\x0d\\x9b\\x7f"
    assert printable("a\u202eb\udce9") == "a\\u202eb\\xe9"
    assert printable("Wirbelsäule\tL5\n") == "Wirbelsäule\tL5\n"


def test_errors_and_streams_show_it_too() -> None:
    assert "\x1b" not in str(UserError("5\x1b[2J.mha", "is odd", "rename it"))
    stream = io.StringIO()
    print("5\x1b[2J.mha", file=PrintableStream(stream))  # type: ignore[arg-type]
    assert stream.getvalue() == "5\\x1b[2J.mha\n"


def test_letters_that_a_terminal_lacks_are_escapes() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print("0.91 ± 0.02", file=PrintableStream(stream))
    stream.flush()
    assert stream.buffer.getvalue() == b"0.91 \\xb1 0.02\n"  # type: ignore[attr-defined]
