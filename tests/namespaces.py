"""Windows machines at addresses of their own: network namespaces on a switch, each with an installation of wine.

Wine makes its sockets in the wineserver, so machines that share one would listen in one namespace.
"""

import ctypes
import ipaddress
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self, TypeVar

import machines
from machines import Machine
from windows import Windows
from winrm_host import Winrm

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000


def why_not() -> str | None:
    """What keeps this process from making networks, in words; None if nothing does."""
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    return None if shutil.which("ip") else "there is no ip here (package iproute2)"


def refused() -> str:
    """What the kernel says against namespaces, cables and switches; nothing if it has them."""
    name = f"rp{secrets.token_hex(3)}"
    tried = (
        f"netns add {name}",
        f"-n {name} link add {name} type bridge",
        f"-n {name} link add {name}a type veth peer name {name}b",
    )
    try:
        for line in tried:
            _ip(line)
    except subprocess.CalledProcessError as error:
        return f"ip {line}: {error.stderr.strip()}"
    finally:
        _forget(f"netns del {name}")
    return ""


class Network:
    """A switch, and namespaces on it, at 10.x.y.2 and what follows; this process is at 10.x.y.1."""

    def __init__(self, count: int) -> None:
        self.name = f"rp{secrets.token_hex(3)}"
        net = _free_net()
        self._own = f"{net[1]}/{net.prefixlen}"
        self.addresses = [str(net[number + 2]) for number in range(count)]
        self.namespaces = [f"{self.name}n{number}" for number in range(count)]
        self.ports = [f"{self.name}p{number}" for number in range(count)]
        """The ends of the cables that are in the switch."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self.close)
            _ip(f"link add {self.name} type bridge")
            _ip(f"address add {self._own} dev {self.name}")
            _ip(f"link set {self.name} up")
            for number, namespace in enumerate(self.namespaces):
                self._connect(number, namespace)
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove all of it."""
        for port, namespace in zip(self.ports, self.namespaces, strict=True):
            _forget(f"link del {port}")
            _forget(f"netns del {namespace}")
        _forget(f"link del {self.name}")

    def cut(self, number: int) -> None:
        """Let a machine be off the network."""
        _ip(f"link set {self.ports[number]} down")

    def mend(self, number: int) -> None:
        """Let it be back."""
        _ip(f"link set {self.ports[number]} up")

    def disturb(self, delay: str, loss: str) -> str:
        """Let packets come late or never, both ways; returns what the kernel says if it cannot do that."""
        for namespace, port in zip(self.namespaces, self.ports, strict=True):
            for words in (["dev", port], ["dev", "eth0"]):
                inside_it = ["-n", namespace] if words[1] == "eth0" else []
                netem = ["qdisc", "replace", *words, "root", "netem", "delay", delay, "loss", loss]
                done = subprocess.run(["tc", *inside_it, *netem], capture_output=True, text=True, check=False)
                if done.returncode:
                    return done.stderr.strip()
        return ""

    def calm(self) -> None:
        """Let packets come as they do without that."""
        for namespace, port in zip(self.namespaces, self.ports, strict=True):
            for words in (["-n", namespace, "qdisc", "del", "dev", "eth0"], ["qdisc", "del", "dev", port]):
                subprocess.run(["tc", *words, "root"], capture_output=True, check=False)

    def _connect(self, number: int, namespace: str) -> None:
        port = self.ports[number]
        _ip(f"netns add {namespace}")
        _ip(f"link add {port} type veth peer name eth0 netns {namespace}")
        _ip(f"link set {port} master {self.name} up")
        _ip(f"-n {namespace} address add {self.addresses[number]}/24 dev eth0")
        _ip(f"-n {namespace} link set lo up")
        _ip(f"-n {namespace} link set eth0 up")


def _ip(line: str) -> str:
    return subprocess.run(["ip", *line.split()], check=True, capture_output=True, text=True).stdout


def _forget(line: str) -> None:
    """Remove what may not be there."""
    subprocess.run(["ip", *line.split()], check=False, capture_output=True)


def _free_net() -> ipaddress.IPv4Network:
    """A network of 256 addresses to which no way of this machine leads but the usual one."""
    ways = [way["dst"] for way in json.loads(_ip("-4 -json route show table all")) if way["dst"] != "default"]
    taken = [ipaddress.IPv4Network(way, strict=False) for way in ways]
    while True:
        net = ipaddress.IPv4Network((f"10.{secrets.randbelow(256)}.{secrets.randbelow(256)}.0", 24))
        if not any(net.overlaps(other) for other in taken):
            return net


def inside(namespace: str, act: Callable[[], T]) -> T:
    """The result of something that is done in a namespace, by a thread of its own; sockets stay where they are made."""
    with ThreadPoolExecutor(1, initializer=_enter, initargs=(namespace,)) as pool:
        return pool.submit(act).result()


def _enter(namespace: str) -> None:
    with Path("/run/netns", namespace).open() as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns to {namespace}")


class Copy(Windows):
    """A copy of an installation of wine in which nothing runs; its own programs run in a namespace."""

    def __init__(self, original: Windows, prefix: Path, namespace: str) -> None:
        self.tools, self.prefix, self.namespace = original.tools, prefix, namespace
        self.environ = {**original.environ, "WINEPREFIX": str(prefix)}
        self.enter = ("ip", "netns", "exec", namespace)
        prefix.mkdir()
        kept = [str(path) for path in original.prefix.iterdir() if path.name != "drive_c"]
        subprocess.run(["cp", "-a", *kept, prefix], check=True)
        # Wine replaces files there, and does not write into them.
        subprocess.run(["cp", "-al", original.prefix / "drive_c", prefix], check=True)
        self._silently("wineserver", "-p300")

    def start(self, *words: str, cwd: Path, **environ: str) -> "subprocess.Popen[str]":
        """Nothing is started without a Machine."""
        raise NotImplementedError

    def _silently(self, *words: str) -> None:
        super()._silently(*self.enter, *words)


class Apart(Machine):
    """A machine in a namespace."""

    def __init__(self, copy: Copy, folder: Path, address: str) -> None:
        super().__init__(copy, folder, address)
        self.enter, self._namespace = copy.enter, copy.namespace

    def _listen(self, **options: Any) -> Winrm:
        return inside(self._namespace, lambda: super(Apart, self)._listen(**options))


class Site:
    """A network, with an installation of wine in each of its namespaces, for any number of sets of machines."""

    def __init__(self, tools: Path, folder: Path, count: int) -> None:
        self._tools, self._folder, self._count = tools, folder, count
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack:
            self.network = self._stack.enter_context(Network(self._count))
            original = self._original()
            self.copies = [self._copy(original, number) for number in range(self._count)]
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def machines(self, folder: Path) -> list[Apart]:
        """A machine in each namespace, on which nothing was ever done."""
        addresses = self.network.addresses
        return [Apart(copy, folder / f"m{n}", addresses[n]) for n, copy in enumerate(self.copies)]

    def _original(self) -> Windows:
        """An installation that is only there to be copied."""
        made = Windows(self._tools, self._folder / "original")
        try:
            machines.equip(made)
        finally:
            made.close()
        return made

    def _copy(self, original: Windows, number: int) -> Copy:
        made = Copy(original, self._folder / f"copy{number}", self.network.namespaces[number])
        self._stack.callback(made.close)
        return made
