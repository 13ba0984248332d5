"""Serves an application of ASGI for the front end, which passes it every request; run by the role's own interpreter.

python -u asgi.py PORT '{"site": "…", "settings": {…}, "path": […], "kit": "…", "mount": ""}'
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import sys
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import ModuleType
    from typing import Any

    Application = Callable[[dict[str, Any], Callable[..., Any], Callable[..., Any]], Awaitable[None]]

_SCOPE = b"x-rolepack-scope"
LOOPBACK = "127.0.0.1"


def behind(application: Application, mount: str) -> Application:
    """The application as clients see it: with their addresses, the endpoint that they asked, and its mount point."""

    async def called(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["type"] in {"http", "websocket"}:
            scope = {**scope, "root_path": mount}
            told = next((value for name, value in scope["headers"] if name == _SCOPE), None)
            scope["headers"] = [one for one in scope["headers"] if one[0] != _SCOPE]
            if told is not None:
                scheme, client, client_port, server, server_port = told.decode("latin-1").split(" ")
                scope["client"], scope["server"] = (client, int(client_port)), (server, int(server_port))
                is_socket = scope["type"] == "websocket"
                scope["scheme"] = {"https": "wss", "http": "ws"}[scheme] if is_socket else scheme
        await application(scope, receive, send)

    return called


def load(told: dict[str, Any]) -> Application:
    """The application that the settings name, found as wsgi.py finds it."""
    wsgi = _finder()
    os.chdir(told["site"])
    os.environ.update(told["settings"])
    wsgi.extend_path(told["settings"], told["site"])
    sys.path.extend(told["path"])
    sys.path.append(told["kit"])
    found: Application = wsgi.resolve(os.environ.get("WSGI_HANDLER"))
    return found


def _finder() -> ModuleType:
    """wsgi.py, under no name that a role could want."""
    spec = importlib.util.spec_from_file_location("_rolepack_wsgi", Path(__file__).with_name("wsgi.py"))
    assert spec is not None  # noqa: S101 - it lies beside this file
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def serve(application: Application, port: int) -> None:
    """Serve until SIGTERM, then finish what has begun."""
    from granian.constants import Interfaces
    from granian.log import LogLevels
    from granian.server.embed import Server

    options = {"interface": Interfaces.ASGI, "log_level": LogLevels.error, "websockets": True}
    server = Server(application, address=LOOPBACK, port=port, **options)
    if os.name == "posix":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    await server.serve()


def main() -> None:
    """Load the application, then serve it."""
    told = json.loads(sys.argv[2])
    application = load(told)
    try:
        asyncio.run(serve(behind(application, told["mount"]), int(sys.argv[1])))
    except ModuleNotFoundError as error:
        if error.name != "granian":
            raise
        sys.exit("An application of ASGI is served by granian, and this Python has no wheel of it.")


if __name__ == "__main__":
    main()
