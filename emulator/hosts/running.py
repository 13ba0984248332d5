"""A front end from what it is told on its command line to its end."""

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from emulator.hosts import places, windows_paths
from emulator.hosts.application import Told
from emulator.hosts.connection import Place
from emulator.hosts.elements import MalformedError
from emulator.hosts.front import Binding, Front, Listening, Site
from emulator.hosts.loop import Loop
from emulator.hosts.places import Places
from emulator.hosts.requestlog import RequestLog

_BACKLOG = 1024


def run(told: dict[str, Any], end: int) -> None:
    """Serve until the signal `end`, or Ctrl-C.

    `told` has

    - `listens`: scheme, address and port of endpoints of the instance, each with the number of an inherited socket, or
      null to have it opened here; `certificate`: a file and that of its key, or nothing
    - `sites`: `bindings` (port and host header) and `places` (beginning of the addresses, folder, is it an application)
    - the folders `logs`, `kit` (the server for ASGI), `debug_kit` (debugpy, for a setting that wants it) and `scratch`
    - `loads_first`: whether an application that cannot be loaded ends the process; `max_instances`; `restarts`: whether
      changed files restart processes unless a setting says so; `behaviour`: `documented` or `current`
    - `debugger`: the folder with debugpy, a port and whether it is waited for, or null
    - `configs`: the names of files that may be the site's web.config, best first
    - `app_service`: the folders of site and logs of an app of App Service; `name` and `output`: what it is called, and
      a file that gets all output once a line has told where it listens
    """
    loop = Loop()
    sockets = [listening_at(*each) for each in told["listens"]]
    log = RequestLog(Path(told["logs"]), loop.later)
    scratch = Path(told["scratch"])
    front = Front(loop, _told(told), scratch, log, is_documented=told["behaviour"] == "documented")
    for one in told["sites"]:
        tree = [places.Place(prefix, Path(folder), application) for prefix, folder, application in one["places"]]
        bindings = tuple(Binding(port, host) for port, host in one["bindings"])
        bindings = bindings or tuple(Binding(each.place.port, "") for each in sockets)
        front.sites.append(Site(front, bindings, Places(tree, front.told.config_names, _say)))
    if told.get("output"):
        _announce(told, sockets)
    loop.on_signal(end, front.leave)
    loop.on_signal(signal.SIGINT, front.leave)
    failed: list[str] = []
    if told["loads_first"]:
        _load_first(loop, front, failed, lambda: front.listen(sockets, tuple(told["certificate"]) or None))
    else:
        front.listen(sockets, tuple(told["certificate"]) or None)
    loop.run()
    front.end()
    if failed:
        raise SystemExit(1)


def _told(told: dict[str, Any]) -> Told:
    service = told.get("app_service")
    return Told(
        kit=told["kit"],
        debugger=tuple(told["debugger"]) if told["debugger"] else None,
        debug_kit=told.get("debug_kit", ""),
        max_instances=told["max_instances"],
        config_names=tuple(told["configs"]),
        restarts=told["restarts"],
        places=windows_paths.Places(Path(service[0]), Path(service[1])) if service else None,
    )


def _load_first(loop: Loop, front: Front, failed: list[str], then: Any) -> None:
    """Load the applications of the sites before they are served; one that cannot be loaded ends all."""
    waiting = [site.application("/") for site in front.sites if site.is_python]

    def loaded(why: str) -> None:
        if why:
            failed.append(why)
            loop.stop()
            return
        waiting.pop()
        if waiting:
            waiting[-1].warm(loaded)
        else:
            then()

    if not waiting:
        then()
        return
    try:
        waiting[-1].warm(loaded)
    except MalformedError as error:
        _say(str(error))
        loaded(str(error))


def listening_at(scheme: str, address: str, port: int, inherited: int | None) -> Listening:
    """A socket that listens for an endpoint."""
    try:
        if inherited is not None:
            one = socket.socket(fileno=inherited)
        else:
            one = socket.create_server((address, port), backlog=_BACKLOG)
    except OSError as error:
        sys.exit(f"{address}:{port}: nothing can listen there: {error.strerror}. Choose another port.")
    return Listening(Place(scheme, address, port or one.getsockname()[1]), one)


def _announce(told: dict[str, Any], sockets: list[Listening]) -> None:
    """Say where it listens, then say all else to a file."""
    scheme, address, port = sockets[0].place
    print(
        f"{told['name']} is at {scheme}://{address}:{port}, its logs are in {Path(told['output']).parent}", flush=True
    )
    file = os.open(told["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
