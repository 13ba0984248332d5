"""A site under the host program, as tests run it: real files, a real process, real sockets."""

import contextlib
import datetime
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from conftest import LIMIT, free_port, until
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from emulator import sites


class Answer(NamedTuple):
    """What came back for a request."""

    status: int
    reason: str
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Hosted:
    """A site that is served."""

    def __init__(self, folder: Path, port: int, logs: Path) -> None:
        self.folder = folder
        self.port = port
        self.secure_port = 0
        self.logs = logs
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """What the host and the application have printed."""
        return (self.logs / "Site.log").read_text(encoding="utf-8", errors="replace")

    def ask(self, path: str = "/", method: str = "GET", body: Any = None, **headers: str) -> Answer:
        """One request on a connection of its own; in the names of headers `_` stands for `-`."""
        return self._ask(http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT), path, method, body, headers)

    def ask_securely(self, path: str = "/", **headers: str) -> Answer:
        """The same by https, without a look at the certificate."""
        security = ssl._create_unverified_context()  # noqa: S323 - it is one of the test's own
        connection = http.client.HTTPSConnection("127.0.0.1", self.secure_port, timeout=LIMIT, context=security)
        return self._ask(connection, path, "GET", None, headers)

    @staticmethod
    def _ask(
        connection: http.client.HTTPConnection, path: str, method: str, body: Any, headers: Mapping[str, str]
    ) -> Answer:
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.reason, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path: str = "/") -> str:
        """The text of an answer that must be 200."""
        answer = self.ask(path)
        assert answer.status == 200, f"{path}: {answer}"
        return answer.text

    def connect(self) -> socket.socket:
        """A connection, for what is said byte by byte."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT)

    def say(self, data: bytes) -> bytes:
        """What comes back until the end for some bytes; the last request among them should end the connection."""
        with self.connect() as connection:
            connection.sendall(data)
            found = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := connection.recv(65536):
                    found += piece
            return found


def lay(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@contextmanager
def hosted(folder: Path, environ: Mapping[str, str] | None = None, **options: Any) -> Iterator[Hosted]:
    """Serve a folder until the block ends; `options` take the place of what the host is told otherwise.

    With a `certificate`, by https too.
    """
    logs = folder.parent / f"{folder.name}-logs"
    scratch = logs / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    made = Hosted(folder, free_port(), logs)
    listens = [["http", "127.0.0.1", made.port, None]]
    if options.get("certificate"):
        made.secure_port = free_port()
        listens.append(["https", "127.0.0.1", made.secure_port, None])
    told = {
        "listens": listens,
        "certificate": [],
        "sites": [{"bindings": [], "places": [["", str(folder), True]]}],
        "logs": str(logs / "W3SVC1"),
        "kit": "",
        "scratch": str(scratch),
        "loads_first": False,
        "restarts": True,
        "max_instances": 2,
        "debugger": None,
        "behaviour": "documented",
        "configs": ["web.config"],
        **options,
    }
    argv = [sys.executable, "-u", str(sites.SITE_HOST), json.dumps(told)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("WSGI_", "PYTHON"))}
    with (
        (logs / "Site.log").open("ab") as output,
        subprocess.Popen(
            argv, cwd=folder, env={**clean, **(environ or {})}, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        made.process = process

        def listens() -> bool:
            assert process.poll() is None, made.output
            with contextlib.suppress(OSError), made.connect():
                return True
            return False

        try:
            until(listens)
            yield made
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()


def config(handler: str = "app.app", settings: str = "", server: str = "") -> str:
    """A web.config with a WSGI_HANDLER, more in appSettings, and what is in system.webServer."""
    return (
        '<?xml version="1.0"?>\n<configuration>\n<appSettings>\n'
        f'<add key="WSGI_HANDLER" value="{handler}" />\n{settings}\n</appSettings>\n'
        f"<system.webServer>\n{server}\n</system.webServer>\n</configuration>\n"
    )


def certified(folder: Path) -> list[str]:
    """A certificate and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(1))
    kind = serialization.Encoding.PEM
    (folder / "c.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(kind))
    told = key.private_bytes(kind, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "k.pem").write_bytes(told)
    return [str(folder / "c.pem"), str(folder / "k.pem")]


def limits(**given: int) -> str:
    """An element of system.webServer that limits the processes of the application."""
    words = " ".join(f'{name}="{value}"' for name, value in given.items())
    return f'<fastCgi><application fullPath="python" {words} /></fastCgi>'
