"""Serves the site in the current folder, by its web.config; run by the role's own interpreter.

    python -u site.py --address 127.0.0.1 --port 20001 --kit FOLDER --logs FOLDER

The server comes from the kit, which stands behind the role's packages on the path. Standard library otherwise.
"""

import argparse
import functools
import importlib
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote
from xml.etree import ElementTree

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_FIELDS = "date time s-ip cs-method cs-uri-stem cs-uri-query s-port c-ip cs(User-Agent) sc-status sc-bytes time-taken"


def app_settings(site: Path) -> dict[str, str]:
    """The appSettings of the site's web.config, whatever the case of its name; empty without one.

    A web.emulator.config takes its place, as ConfigureCloudService has it on a host with web.cloud.config.
    As wfastcgi reads them: every `add` below any `appSettings`, the last of a key wins, keys are stripped.
    """
    there = {path.name.lower(): path for path in site.iterdir()}
    found = there.get("web.emulator.config") or there.get("web.config")
    if found is None:
        return {}
    settings = {}
    for section in ElementTree.parse(found).getroot().iter("appSettings"):  # noqa: S314 - the role's own file
        for element in section.iter("add"):
            settings[element.get("key", "").strip()] = element.get("value", "")
    return settings


def extend_path(settings: dict[str, str]) -> None:
    """Put the site first on the path and what a PYTHONPATH setting names last, with `%NAME%` expanded."""
    sys.path[0] = str(Path.cwd())
    for key, value in settings.items():
        if key.upper() == "PYTHONPATH":
            expanded = re.sub(r"%(\w+?)%", lambda match: os.environ.get(match[1], ""), value)
            sys.path += [entry for entry in expanded.split(";") if entry]


def resolve(handler: str | None) -> Application:
    """The application that a WSGI_HANDLER names, as wfastcgi finds it.

    The longest importable module first; the rest are attributes, and a name that ends in `()` is called.
    """
    if not handler:
        raise LookupError("WSGI_HANDLER env var must be set")
    module, _, rest = handler.rpartition(".")
    names = [rest]
    why = ""
    while module:
        try:
            found: Any = importlib.import_module(module.replace("()", ""))
            for name in names:
                found = getattr(found, name.removesuffix("()"))
                found = found() if name.endswith("()") else found
        except ImportError:
            why = f": {traceback.format_exc()}"
            module, _, rest = module.rpartition(".")
            names.insert(0, rest)
            continue
        if found is not None:
            return cast(Application, found)
        break
    raise LookupError(f'"{handler}" could not be imported{why}')


class RequestLog:
    """The W3C extended log of a folder: one file a day (UTC), one line a request."""

    def __init__(self, folder: Path, address: str, port: int) -> None:
        self._folder = folder
        self._server = address, str(port)
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def wrap(self, application: Application) -> Application:
        """The application with every answer of it logged."""

        def logged(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            began = time.perf_counter()
            status = "500"

            def start(line: str, headers: Any, *exc_info: Any) -> Any:
                nonlocal status
                status = line.partition(" ")[0]
                return start_response(line, headers, *exc_info)

            try:
                answer = application(environ, start)
            except BaseException:
                self._write(environ, "500", 0, began)
                raise
            if isinstance(answer, list):
                self._write(environ, status, sum(map(len, answer)), began)
                return answer
            return _Counted(answer, lambda size: self._write(environ, status, size, began))

        return logged

    def _write(self, environ: dict[str, Any], status: str, size: int, began: float) -> None:
        now = time.gmtime()
        fields = (
            *(time.strftime("%Y-%m-%d", now), time.strftime("%H:%M:%S", now), self._server[0]),
            *(environ.get("REQUEST_METHOD", ""), quote(environ.get("PATH_INFO", ""), encoding="latin-1")),
            *(environ.get("QUERY_STRING", ""), self._server[1], environ.get("REMOTE_ADDR", "")),
            *(environ.get("HTTP_USER_AGENT", ""), status, str(size)),
            str(round((time.perf_counter() - began) * 1000)),
        )
        line = " ".join(re.sub(r"[\s\x00-\x1f]+", "+", field) or "-" for field in fields)
        path = self._folder / time.strftime("u_ex%y%m%d.log", now)
        with self._lock:
            new = not path.exists()
            with path.open("a", encoding="utf-8", errors="replace") as file:
                file.write(f"#Software: rolepack\n#Version: 1.0\n#Fields: {_FIELDS}\n{line}\n" if new else f"{line}\n")


class _Counted:
    """An answer whose bytes are counted until the server closes it."""

    def __init__(self, answer: Iterable[bytes], done: Callable[[int], None]) -> None:
        self._answer = answer
        self._done = done
        self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._answer:
            self._size += len(chunk)
            yield chunk

    def close(self) -> None:
        try:
            if hasattr(self._answer, "close"):
                self._answer.close()
        finally:
            self._done(self._size)


def load(options: argparse.Namespace) -> Application:
    """The site's application, ready to be served; where it fails, the process ends and says why."""
    # granian's worker is deaf until it serves; without this a stop while the application loads would be lost.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    settings = app_settings(Path.cwd())
    os.environ.update(settings)
    extend_path(settings)
    sys.path.append(options.kit)
    try:
        application = resolve(os.environ.get("WSGI_HANDLER"))
    except Exception:
        print("Error occurred while reading WSGI handler:", file=sys.stderr)
        traceback.print_exc()
        raise SystemExit(1) from None
    return RequestLog(Path(options.logs), options.address, options.port).wrap(application)


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--kit", required=True)
    parser.add_argument("--logs", required=True)
    options = parser.parse_args()
    sys.path.append(options.kit)
    try:
        from granian import Granian
        from granian.constants import Interfaces
        from granian.log import LogLevels
    except ImportError:
        import waitress

        waitress.serve(load(options), host=options.address, port=options.port)
        return
    server = Granian(
        "site", options.address, options.port, interface=Interfaces.WSGI, workers=1, log_level=LogLevels.error
    )
    server.serve(target_loader=functools.partial(load, options), wrap_loader=False)


if __name__ == "__main__":
    main()
