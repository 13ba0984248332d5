"""`publish` beside its peers: the transport alone, and a command line for each chunk; and what a small change costs.

The hosts are doubles of WinRM with real commands of wine behind them, as in the tests, so what they take is what wine
takes: a command starts in more time than on Windows. In measures of content the double has a process of its own, as a
host has; it shares this machine's cores with the client.

    .venv/bin/python benchmarks/publish.py [content] [change]
"""

import base64
import json
import math
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from interleaved import RUNS, compare
from winrm.protocol import Protocol

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import machines
import windows
from conftest import Rolepack
from farm import PASSWORD, Farm
from machines import Machine

from publisher.hosts import Host
from publisher.published import Published
from publisher.session import Session
from publisher.upload import Upload
from rolepack import publishing

MB = 1_000_000
FILES, SIZE = 8, 5 * MB
"""Files of the bundle, such as wheels, and the bytes of each."""
MESSAGE = 380_000
"""Bytes of input in a message, which is as large as a host takes one."""
SOME, CHARACTERS = 300_000, 6000
"""Bytes that come by command lines, and how much of them as base64 in each; cmd.exe takes lines of 8191 characters."""
HOSTS, STAYS = 5, 4 * MB
SINK = "import sys; print(1, flush=True); all(iter(lambda: sys.stdin.buffer.read(1 << 20), b'')); print(2)"


class Peer:
    """A shell of pywinrm's, on a machine, by NTLM with every message encrypted."""

    def __init__(self, port: int, machine: Machine) -> None:
        self._machine = machine
        url = f"http://{machine.address}:{port}/wsman"
        about: dict[str, Any] = {"transport": "ntlm", "message_encryption": "always"}
        self._protocol = Protocol(url, username="azure", password=PASSWORD, **about)
        self._shell = self._protocol.open_shell(codepage=65001)

    def stream(self, content: bytes) -> float:
        """Seconds in which a Python there reads all of the content, and throws it away."""
        line = f'"{self._machine.interpreter}" -I -c "{SINK}"'
        command = self._protocol.run_command(self._shell, line, console_mode_stdin=False)
        self._protocol.get_command_output_raw(self._shell, command)  # it reads
        began = time.perf_counter()
        for at in range(0, len(content), MESSAGE):
            is_last = at + MESSAGE >= len(content)
            self._protocol.send_command_input(self._shell, command, content[at : at + MESSAGE], is_last)
        self._ended(command)
        taken = time.perf_counter() - began
        self._protocol.cleanup_command(self._shell, command)
        return taken

    def echo(self, content: bytes) -> float:
        """Seconds in which the content comes into a file as base64, with a command for each piece."""
        text = base64.b64encode(content).decode()
        began = time.perf_counter()
        for at in range(0, len(text), CHARACTERS):
            line = f">>content.txt echo {text[at : at + CHARACTERS]}"
            command = self._protocol.run_command(self._shell, line)
            self._ended(command)
            self._protocol.cleanup_command(self._shell, command)
        taken = time.perf_counter() - began
        (written,) = self._machine.disk.rglob("content.txt")
        must(base64.b64decode(written.read_text()) == content, "what was echoed is damaged")
        written.unlink()
        return taken

    def _ended(self, command: str) -> None:
        _, errors, code = self._protocol.get_command_output(self._shell, command)
        must(code == 0, f"code {code}: {errors!r}")

    def close(self) -> None:
        """End the shell."""
        self._protocol.close_shell(self._shell)


class Uploader:
    """What `publish` does with the content of a bundle, when the host's session runs: it is sent, and checked there."""

    def __init__(self, farm: Farm, port: int, published: Published) -> None:
        self._published, self._parts = published, farm.disk(0) / "shop" / "parts"
        machine = farm.machines[0]
        at = machine.address
        host = Host("m0", at, "ntlm", "azure", ("api",), 0, False, port, at, farm.root_of(0), machine.interpreter)
        self.session = Session(host, PASSWORD, "shop")
        files = published.files["api"].values()
        self._sizes = {sha256: published.sizes[sha256] for sha256 in files}
        self.size = sum(self._sizes.values())

    def upload(self) -> float:
        """Seconds of an upload to a host that has nothing."""
        shutil.rmtree(self._parts, ignore_errors=True)
        missing = self._missing()
        must(missing == dict.fromkeys(self._sizes, 0), "the host has content of an earlier run")
        began = time.perf_counter()
        Upload(self.session, self._published.sizes, self._published.read, missing, lambda *_: None).run()
        taken = time.perf_counter() - began
        must(not self._missing(), "the host lacks content that was sent")
        return taken

    def _missing(self) -> Mapping[str, int]:
        return dict(self.session.ask("look", "asking", parts=self._sizes)["missing"])


def content(farm_of: Callable[[int], Farm]) -> None:
    """Compare how fast content comes to a host."""
    farm = farm_of(1)
    role = farm.folder / "roles" / "api"
    role.mkdir(parents=True)
    for number in range(FILES):
        (role / f"wheel{number}.bin").write_bytes(os.urandom(SIZE))
    farm.configure()
    bundle = farm.package("1")
    (machine,) = farm.machines
    with ExitStack() as stack:
        port = stack.enter_context(apart(machine))
        published = stack.enter_context(publishing.published(bundle, str(farm.folder), "Cloud", False, print))
        ours = Uploader(farm, port, published)
        stack.callback(ours.session.close)
        peer = Peer(port, machine)
        stack.callback(peer.close)
        same = b"".join(path.read_bytes() for path in role.iterdir())
        some = os.urandom(SOME)
        size = f"{ours.size / MB:.0f} MB"
        contenders = {"one stream of pywinrm's, thrown away": lambda: peer.stream(same), "publish": ours.upload}
        compare(f"{size} that cannot be compressed, to one host by NTLM; goal: at most 1.5", contenders)
        lines = math.ceil(len(base64.b64encode(some)) / CHARACTERS)
        scaled = f"{lines} commands for {SOME / MB:.1f} MB, scaled"
        contenders = {"publish": ours.upload, scaled: lambda: peer.echo(some) * ours.size / SOME}
        compare(f"{size}, beside a command for each {CHARACTERS:,} characters of base64; goal: at least 5", contenders)


def change(farm_of: Callable[[int], Farm]) -> None:
    """Tell what one changed line costs on five hosts."""
    farm = farm_of(HOSTS)
    role = farm.folder / "roles" / "api"
    role.mkdir(parents=True)
    (role / "stays.bin").write_bytes(os.urandom(STAYS))
    seconds: list[float] = []
    sent: list[int] = []
    trips: list[int] = []
    requests: list[Counter[str]] = []
    with farm.open():
        farm.publish("1")
        for number in range(RUNS + 1):
            farm.package(f"2.{number}")
            for host in farm.hosts:
                host.requests.clear()
            began = time.perf_counter()
            told = json.loads(farm.ok("publish", "--yes", "--json"))
            taken = time.perf_counter() - began
            must(farm.versions() == [f"2.{number}"] * HOSTS, "another version runs")
            if number:
                seconds.append(taken)
                sent += [one["bytes"] for one in told["hosts"]]
                trips += told["round_trips"].values()
                requests += [Counter(host.requests) for host in farm.hosts]
    print(f"One line changed, {HOSTS} hosts one after the other, {STAYS / MB:.0f} MB that stay (median of {RUNS})")
    median = statistics.median(seconds)
    print(f"  {'all of it':42} {median:8.3f} s  {median / HOSTS:.2f} s a host")
    print(f"  {'content sent to a host':42} {max(sent):8,} bytes at most")
    beyond = max(trips) - 1
    print(f"  {'round trips beyond the switch, a host':42} {beyond:8} at most; goal: under 3")
    totals = [one.total() for one in requests]
    print(f"  {'HTTP requests a host':42} {statistics.median(totals):8.0f}    at most {max(totals)}")
    most = max(requests, key=Counter.total)
    print(f"  {'':42} {', '.join(f'{name} {count}' for name, count in most.items())}")


def must(holds: bool, otherwise: str) -> None:
    """Stop if what was measured is not what was meant."""
    if not holds:
        raise AssertionError(otherwise)


@contextmanager
def apart(machine: Machine) -> Iterator[int]:
    """WinRM in front of a machine, served by a process of its own; the port."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    process = fork.Process(target=_serve, args=(machine, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join(30)


def _serve(machine: Machine, told: Connection) -> None:
    with machine.winrm(password=PASSWORD) as host:
        told.send(host.port)
        told.recv()


@contextmanager
def farms(folder: Path) -> Iterator[Callable[[int], Farm]]:
    """Makes services with so many machines, which have ended when the block does."""
    tools = folder / "tools"
    tools.mkdir()
    windows.build(tools)
    machines.build(tools)
    with ExitStack() as stack:
        installation = windows.Windows(tools, folder / "wine")
        stack.callback(installation.close)
        machines.equip(installation)

        def make(count: int) -> Farm:
            place = Path(tempfile.mkdtemp(dir=folder))
            made = [Machine(installation, place / f"m{number}", f"127.0.0.{number + 2}") for number in range(count)]
            for one in made:
                stack.callback(one.close)
            (place / "shop").mkdir()
            return Farm(place / "shop", made, Rolepack())

        yield make


def main() -> None:
    """Run what is named, or everything."""
    missing = windows.why_not()
    if missing:
        sys.exit(missing)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        print(f"Python {sys.version.split()[0]}, pywinrm {version('pywinrm')}, {os.cpu_count()} cores")
        with farms(folder) as farm_of:
            for wanted in sys.argv[1:] or ["content", "change"]:
                {"content": content, "change": change}[wanted](farm_of)


if __name__ == "__main__":
    main()
