from __future__ import annotations

import socket
from pathlib import Path

import pytest

from autospine.core.errors import UserError
from autospine.viewer.server import ADDRESS, ViewRequest, check_port, prepare, streamlit_arguments


def test_the_page_is_for_this_machine_only_and_tells_nobody(tmp_path: Path) -> None:
    words = streamlit_arguments(ViewRequest((tmp_path / "a b", tmp_path / "c"), 9000, "cuda"))
    assert {
        "--server.address=127.0.0.1",
        "--server.port=9000",
        "--server.headless=true",
        "--server.enableCORS=true",
        "--server.enableXsrfProtection=true",
        "--server.allowedHosts=127.0.0.1",
        "--server.allowedHosts=localhost",
        "--browser.gatherUsageStats=false",
    } < set(words)
    assert words[words.index("--") + 1 :] == ["cuda", str(tmp_path / "a b"), str(tmp_path / "c")]


def test_other_names_are_accepted_where_they_are_given(tmp_path: Path) -> None:
    words = streamlit_arguments(ViewRequest((tmp_path,), hosts=("spine.example.org",)))
    assert [word for word in words if "allowedHosts" in word][2:] == ["--server.allowedHosts=spine.example.org"]


@pytest.mark.parametrize("host", ["*", "*.org", "a b", "http://a", ""])
def test_what_is_no_name_of_a_host(tmp_path: Path, host: str) -> None:
    pytest.importorskip("streamlit")
    with pytest.raises(UserError, match=r"--host: .* is no name of a host"):
        prepare(ViewRequest((tmp_path,), hosts=(host,)))


def test_streamlit_knows_every_setting(tmp_path: Path) -> None:
    config = pytest.importorskip("streamlit.config")
    for word in streamlit_arguments(ViewRequest((tmp_path,))):
        if word.startswith("--") and word != "--":
            assert word.removeprefix("--").partition("=")[0] in config.get_config_options()


def test_a_port_that_is_taken_is_refused_and_a_free_one_is_not() -> None:
    with socket.socket() as other:
        other.bind((ADDRESS, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=rf"--port: {port} is taken by another program; give another"):
            check_port(port)
    check_port(port)


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_a_number_that_is_no_port(port: int) -> None:
    with pytest.raises(UserError, match=f"--port: is {port}; give a number from 1 to 65535"):
        check_port(port)
