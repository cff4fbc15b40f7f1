"""autospine_view as the shell calls it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from autospine.commands.view import main
from tests.autospine.commands.conftest import command as command  # noqa: PLC0414
from tests.paths import ROOT


@pytest.fixture
def model(tmp_path: Path, bright) -> Path:
    return bright(tmp_path / "model").folder


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What Streamlit was started with, instead of starting it."""
    pytest.importorskip("streamlit")
    calls: list[list[str]] = []
    monkeypatch.setattr("autospine.viewer.server._serve", calls.append)
    return calls


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_without_streamlit_one_line_says_what_to_install(
    command: Callable, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "streamlit", None)
    answer = command(main, "-m", model)
    assert answer.status == 2
    assert answer.err.splitlines() == [
        "autospine_view: error: streamlit: is not installed; install it with: pip install streamlit"
    ]
    assert answer.out == ""


def test_it_says_where_the_page_is_and_serves_it(command: Callable, model: Path, served: list) -> None:
    port = free_port()
    answer = command(main, "-m", model, "--port", port, "--device", "cpu")
    assert answer.status == 0
    assert f"http://127.0.0.1:{port}" in answer.out
    assert "For research, not a medical device." in answer.out
    assert served[0][-2:] == ["cpu", str(model)]


def test_a_mistake_is_one_line_and_nothing_is_served(
    command: Callable, tmp_path: Path, model: Path, served: list
) -> None:
    for words, line in (
        (("-m", tmp_path), "holds no finished model"),
        (("-m", model, "--port", 70000), "--port: is 70000"),
    ):
        answer = command(main, *words)
        assert answer.status == 2
        assert len(answer.errors) == 1
        assert line in answer.errors[0]
    assert "no model is installed" in command(main).errors[0]
    assert served == []


OPEN = """[server]
enableCORS = false
enableXsrfProtection = false
allowedHosts = ["*"]
address = "0.0.0.0"
"""


@pytest.mark.slow
def test_the_page_answers_its_own_names_alone_and_ends_with_an_interrupt(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("streamlit")
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "config.toml").write_text(OPEN)
    words = [sys.executable, "-m", "autospine.commands.view", "-m", str(model), "--device", "cpu"]
    port = free_port()
    serving = subprocess.Popen(
        [*words, "--port", str(port), "--host", "spine.example.org"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "STREAMLIT_SERVER_ENABLE_CORS": "false"},
    )
    try:
        assert serving.stdout is not None
        (address,) = re.findall(r"http://127\.0\.0\.1:\d+", serving.stdout.readline())
        assert b'<div id="root">' in _content(address, 30)
        for host, origin, status in (
            ("127.0.0.1", "127.0.0.1", 101),
            ("localhost", "localhost", 101),
            ("spine.example.org", "spine.example.org", 101),
            ("evil.example.com", "evil.example.com", 403),  # resolved to this machine: DNS rebinding
            ("127.0.0.1", "evil.example.com", 403),
        ):
            assert _opened(port, host, origin) == status, (host, origin)
        serving.send_signal(signal.SIGINT)
        assert serving.wait(timeout=30) == 0
        assert "Traceback" not in serving.stdout.read()
    finally:
        serving.kill()
        serving.wait()
        serving.stdout.close()


def _opened(port: int, host: str, origin: str) -> int:
    """The status with which the server answers a browser that opens the page's socket."""
    lines = (
        "GET /_stcore/stream HTTP/1.1",
        f"Host: {host}:{port}",
        f"Origin: http://{origin}:{port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall("\r\n".join((*lines, "", "")).encode())
        return int(connection.recv(1000).split()[1])


def _content(address: str, seconds: float) -> bytes:
    end = time.monotonic() + seconds
    while True:
        try:
            return urllib.request.urlopen(address, timeout=5).read()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
