"""Serves a site as IIS does with wfastcgi: serve.py JSON, which says the site's folder, its addresses and its log."""

import json
import os
import socketserver
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

Application = Callable[..., Iterable[bytes]]
PATIENCE = 10.0
"""Seconds that who had an address before may take to leave it."""


class Server(socketserver.ThreadingMixIn, WSGIServer):
    """Many requests at once."""

    daemon_threads = True

    def server_bind(self) -> None:
        """Take the address, without a look into DNS."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]
        self.setup_environ()


class Handler(WSGIRequestHandler):
    """One request."""

    def log_message(self, text: str, *given: Any) -> None:
        """Write a line of the log."""
        print(text % given, flush=True)


def main() -> None:
    """Serve until this process is ended."""
    told = json.loads(sys.argv[1])
    sys.stdout = sys.stderr = Path(told["log"]).open("a", encoding="utf-8", errors="replace")  # noqa: SIM115
    sys.path[0] = told["path"]
    try:
        application = partial(failed, told["error"]) if told["error"] else find(os.environ.get("WSGI_HANDLER", ""))
    except Exception:  # whatever the application has: the answer says it
        application = partial(failed, traceback.format_exc())
    servers = [bind((address, port), application) for address, port in told["places"]]
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()


def find(handler: str) -> Application:
    """The application that WSGI_HANDLER names: module.attribute, or a call of it."""
    module, _, attribute = handler.removesuffix("()").rpartition(".")
    found = getattr(__import__(module, fromlist=[attribute]), attribute)
    return found() if handler.endswith("()") else found


def failed(error: str, _: object, start_response: Callable[..., object]) -> list[bytes]:
    """What answers in place of an application that cannot be had."""
    print(error, flush=True)
    start_response("500 Internal Server Error", [("Content-Type", "text/plain; charset=utf-8")])
    return [error.encode()]


def bind(place: tuple[str, int], application: Application) -> Server:
    """A server at an address, as soon as that is free."""
    limit = time.monotonic() + PATIENCE
    while True:
        try:
            server = Server(place, Handler)
        except OSError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.05)
        else:
            server.set_app(application)
            return server


if __name__ == "__main__":
    main()
