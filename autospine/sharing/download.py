"""Download of a model's zip."""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPMessage
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from autospine.core.errors import UserError
from autospine.core.files import writing

MOST_BYTES = 4 * 2**30
SECONDS = 30.0  # without an answer
HERE = ("127.0.0.1", "localhost", "::1")


def is_address(text: str) -> bool:
    """Return whether a text is a web address rather than a file."""
    return text.lower().startswith(("http://", "https://"))


def download(address: str, path: Path) -> None:
    """Write what an address holds into a file.

    Raises:
        UserError: It cannot be had, is not encrypted, or is larger than any model.
    """
    _check_encrypted(address)
    opener = urllib.request.build_opener(_EncryptedRedirects)
    try:
        with opener.open(address, timeout=SECONDS) as answer:
            _copy(answer, path, address)
    except urllib.error.HTTPError as error:
        raise UserError(address, f"answers {error.code} ({error.reason})", "check the address") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(address, f"cannot be read ({reason})", "check the address and the network") from error


def _copy(answer: IO[bytes], path: Path, address: str) -> None:
    written = 0
    with writing(path), open(path, "wb") as file:
        while block := answer.read(1 << 20):
            written += len(block)
            if written > MOST_BYTES:
                raise UserError(address, "is larger than any model", "check the address")
            file.write(block)


def _check_encrypted(address: str) -> None:
    """Refuse an address by which anybody on the way could put in another file.

    Raises:
        UserError: It is neither https nor of this machine.
    """
    parts = urlsplit(address)
    if parts.scheme.lower() != "https" and parts.hostname not in HERE:
        raise UserError(address, "is not encrypted", "give an https address, or a file")


class _EncryptedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects that are encrypted, too."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        """Return the request that follows."""
        _check_encrypted(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
