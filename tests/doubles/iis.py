"""A small IIS: what appcmd has configured, and the processes that serve it.

A site is served if the web.config of its root has a handler for FastCGI: by one process with the interpreter that the
handler names, on each http binding. Https bindings, host names and applications below the root are kept, not served.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import machine

State = dict[str, Any]
FRESH: State = {
    "pools": {"DefaultAppPool": {"state": "Started"}},
    "sites": {
        "Default Web Site": {
            "id": 1,
            "bindings": "http/*:80:",
            "state": "Started",
            "apps": {
                "/": {"applicationPool": "DefaultAppPool", "vdirs": {"/": {"physicalPath": r"C:\inetpub\wwwroot"}}}
            },
        }
    },
    "fastcgi": [],
    "unlocked": [],
}
"""What Windows comes with."""


class AppcmdError(Exception):
    """What appcmd says instead of doing something, and its exit code."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(f"ERROR ( message:{message} )" if message else "")
        self.code = code


def load() -> State:
    """All that is configured."""
    return machine.load("iis", FRESH)


def save(state: State) -> None:
    """Keep what is configured."""
    machine.save("iis", state)


def settle() -> None:
    """Start, end or start again what serves the sites, so that all is as it is configured."""
    state, served = load(), machine.load("served", {})
    wanted = {name: wants(state, site) for name, site in state["sites"].items()}
    for name in served.keys() | wanted.keys():
        want = wanted.get(name)
        if want == served.get(name) and bool(want) == bool(machine.running(mark(name))):
            continue
        machine.end(mark(name))
        if want:
            serve(name, want)
    machine.save("served", {name: want for name, want in wanted.items() if want})


def end_pool(state: State, pool: str) -> None:
    """End what serves the sites of a pool; `settle` starts it again."""
    for name, site in state["sites"].items():
        if site["apps"].get("/", {}).get("applicationPool") == pool:
            machine.end(mark(name))


def mark(name: str) -> str:
    """Under which name what serves a site runs."""
    return f"site-{name}"


def wants(state: State, site: State) -> State | None:
    """How a site is to be served; None if it is not."""
    root = site["apps"].get("/")
    if root is None or site["state"] != "Started" or not is_started(state, root["applicationPool"]):
        return None
    path = os.path.expandvars(root["vdirs"]["/"]["physicalPath"])
    config = Path(path) / "web.config"
    if not config.exists():
        return None
    settings, processor = read(config)
    if processor is None:
        return None
    python, _, arguments = processor.partition("|")
    known = next((one for one in state["fastcgi"] if (one["fullPath"], one["arguments"]) == (python, arguments)), None)
    return {
        "path": path,
        "places": places(site["bindings"]),
        "python": python.strip('"'),
        "environ": {**(known or {}).get("variables", {}), **settings},
        "error": "" if known else f"{processor} is not registered with FastCGI",
        "since": config.stat().st_mtime_ns,
    }


def is_started(state: State, pool: str) -> bool:
    """Whether a pool is there, and is started."""
    return state["pools"].get(pool, {}).get("state") == "Started"


def read(config: Path) -> tuple[dict[str, str], str | None]:
    """The appSettings of a web.config, and the scriptProcessor of its handler for FastCGI."""
    root = ElementTree.fromstring(config.read_bytes())
    settings = {one.get("key", ""): one.get("value", "") for one in root.iterfind("appSettings/add")}
    handlers = root.iterfind("system.webServer/handlers/add")
    return settings, next(
        (one.get("scriptProcessor") for one in handlers if one.get("modules") == "FastCgiModule"), None
    )


def places(bindings: str) -> list[list[Any]]:
    """The addresses and ports of the http bindings."""
    written = [binding.partition("/") for binding in bindings.split(",") if binding]
    parts = [information.rsplit(":", 2) for protocol, _, information in written if protocol == "http"]
    own = machine.ABOUT["address"]
    return [[own if address == "*" else address, int(port)] for address, port, _ in parts]


def serve(name: str, want: State) -> None:
    """Start what serves a site."""
    has_interpreter = Path(want["python"]).exists()
    error = want["error"] or ("" if has_interpreter else f"there is no {want['python']}")
    python = want["python"] if has_interpreter else machine.ABOUT["python"]
    told = {"path": want["path"], "places": want["places"], "error": error, "log": str(machine.FOLDER / f"{name}.log")}
    words = [python, "-u", str(Path(__file__).with_name("serve.py")), json.dumps(told)]
    machine.start(mark(name), subprocess.list2cmdline(words), want["path"], **want["environ"])


def every_vdir(state: State) -> Iterator[tuple[str, str, str, State]]:
    """Each virtual directory: its site, application and path, and those beside it."""
    for site, about in state["sites"].items():
        for applied, inner in about["apps"].items():
            for path in inner["vdirs"]:
                yield site, applied, path, inner["vdirs"]
