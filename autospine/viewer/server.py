"""The page's server, on this machine alone."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from autospine.core.errors import UserError
from autospine.core.machine import find_machine
from autospine.models.installed import model_folder
from autospine.viewer.models import find_page_models, offered_models

ADDRESS = "127.0.0.1"  # nobody else's machine reaches it
NAMES = (ADDRESS, "localhost")  # under which a browser may ask for the page; others are foreign pages in disguise
LARGEST_UPLOAD = 2000  # MB
APP = Path(__file__).with_name("app.py")


@dataclass(frozen=True)
class ViewRequest:
    """What autospine_view is asked; see its --help."""

    models: tuple[Path, ...] = ()  # folders or names; without any, the page offers those that are installed
    port: int = 8501
    device: str = "auto"
    hosts: tuple[str, ...] = ()  # other names of this machine, of a tunnel or a proxy before the page

    @property
    def address(self) -> str:
        """Return what to type into a browser."""
        return f"http://{ADDRESS}:{self.port}"


def prepare(request: ViewRequest) -> Callable[[], None]:
    """Check that the page can be served.

    Returns:
        A function that serves the page until the process is interrupted.

    Raises:
        UserError: Streamlit, the model, the device or the port cannot be had, or a host is no name.
    """
    for host in request.hosts:
        if not re.fullmatch(r"[A-Za-z0-9.-]+", host):
            raise UserError("--host", f"{host!r} is no name of a host", "give one such as spine.example.org")
    if find_spec("streamlit") is None:
        raise UserError("streamlit", "is not installed", "install it with: pip install streamlit")
    find_page_models(request.models or [offered_models()[0].folder])
    find_machine(request.device, None)
    check_port(request.port)
    return lambda: _serve(streamlit_arguments(request))


def check_port(port: int) -> None:
    """Check that a port of this machine is free.

    Raises:
        UserError: It is not.
    """
    hint = "give another with --port"
    if not 0 < port < 65536:
        raise UserError("--port", f"is {port}", "give a number from 1 to 65535")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if sys.platform != "win32":  # there it would let two servers share a port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except PermissionError as error:
            raise UserError("--port", f"{port} may not be used by this user", hint) from error
        except OSError as error:
            raise UserError("--port", f"{port} is taken by another program", hint) from error


def streamlit_arguments(request: ViewRequest) -> list[str]:
    """Return the arguments of the command `streamlit`."""
    settings = {
        "server.address": ADDRESS,
        "server.port": str(request.port),
        "server.enableCORS": "true",
        "server.enableXsrfProtection": "true",
        "server.enableStaticServing": "false",
        "server.trustedUserHeaders": "{}",
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "server.maxUploadSize": str(LARGEST_UPLOAD),
        "browser.gatherUsageStats": "false",
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
        "logger.hideWelcomeMessage": "true",
    }
    flags = [f"--{name}={value}" for name, value in settings.items()]
    flags += [f"--server.allowedHosts={host}" for host in (*NAMES, *request.hosts)]
    flags += [f"--server.corsAllowedOrigins=http://{host}" for host in NAMES]
    models = (str(model_folder(path).resolve()) for path in request.models)
    return ["run", str(APP), *flags, "--", request.device, *models]


def _serve(arguments: Sequence[str]) -> None:
    """Run Streamlit where neither a .streamlit folder of the current directory nor the environment sets anything."""
    os.chdir(APP.parent)
    for name in [name for name in os.environ if name.startswith("STREAMLIT_")]:
        del os.environ[name]
    from streamlit.web.cli import main

    main(list(arguments), prog_name="streamlit", standalone_mode=False)
