"""A minute of kills, edits, scalings and log storms under load; what was promised for each must still be true."""

import http.client
import itertools
import json
import os
import random
import re
import secrets
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import Rolepack, command_of, is_alive, pids, until, variables_of

SECONDS = float(os.environ.get("ROLEPACK_CHAOS_SECONDS", "60"))
SEED = os.environ.get("ROLEPACK_CHAOS_SEED")
"""Of an earlier run, to have the same disturbances at the same times again."""
GONE_WITHIN = 1.0
"""Seconds after the emulator's own end in which every process of every role must be gone."""
REACHED = 100_000_000
"""Nanoseconds before a kill of the emulator after which a line may be lost."""
FINALLY = {"web": 5, "talker": 5}
"""What the configuration wants at the end: other numbers than any before, since what was scaled keeps its number."""
LINE = re.compile(rb"([0-9a-f]{32}) (\d+) x{80}\n")


@dataclass(frozen=True)
class Event:
    """Something that happens: when (seconds since the beginning), what, and which of those it may happen to."""

    moment: float
    what: str
    chance: float
    number: int


def schedule(seed: str) -> list[Event]:
    """What happens, as the seed wants it: the emulator is killed once in each third, all else by chance."""
    chance = random.Random(seed)  # noqa: S311 - to be replayed
    kinds = {"kill": 8, "kill a task": 3, "storm": 4, "rubbish": 2, "edit": 3, "fault": 1, "scale": 3, "restart": 2}
    moments = [chance.uniform(0, SECONDS) for _ in range(int(SECONDS * 2))]
    events = [
        Event(moment, chance.choices(list(kinds), list(kinds.values()))[0], chance.random(), chance.randint(1, 4))
        for moment in moments
    ]
    third = SECONDS / 3
    kills = [Event(chance.uniform(each, each + 0.7) * third, "kill the emulator", 0, 0) for each in range(3)]
    return sorted(events + kills, key=lambda event: event.moment)


@dataclass
class Request:
    """One question to the site: its number, its time, and why it failed if it did."""

    number: int
    began: float
    ended: float
    failure: str | None


@dataclass
class Load:
    """Clients that ask one after the other, each question by a connection of its own."""

    port: int
    requests: list[Request] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def ask(self) -> None:
        while not self.is_over.is_set():
            number, began, failure = next(self.numbers), time.monotonic(), None
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                connection.request("GET", "/", headers={"X-Number": str(number)})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    failure = f"status {answer.status}"
            except (OSError, http.client.HTTPException) as error:
                failure = repr(error)
            finally:
                connection.close()
            self.requests.append(Request(number, began, time.monotonic(), failure))
            self.is_over.wait(0.1 if failure else 0.005)


def of_service(place: Path) -> dict[int, str]:
    """The processes of all instances of a service that run now, with their command lines."""
    mark = f"ROLEPACK_INSTANCE={place}/"
    own = [pid for pid in pids() if any(variable.startswith(mark) for variable in variables_of(pid))]
    found = {pid: " ".join(command_of(pid)) for pid in own}
    return {pid: line for pid, line in found.items() if is_alive(pid)}


class Disturber:
    """Makes the events happen, and notes what it has killed and when."""

    def __init__(self, place: Path, rolepack: Rolepack) -> None:
        self.place = place
        self.rolepack = rolepack
        self.configuration = place / "ServiceConfiguration.Local.cscfg"
        self.title = 0
        self.killed: dict[int, tuple[float, float]] = {}
        """By process, the moments right before and after; between them it may still take a request."""
        self.emulator_died: list[int] = []
        """Nanoseconds since 1970."""
        self.down: list[tuple[float, float]] = []
        self._commands: list[subprocess.Popen[bytes]] = []
        self._storms = 0

    def do(self, event: Event) -> None:
        acts: dict[str, Callable[[Event], None]] = {
            "kill": lambda event: self._kill(event, "site.py", "worker.py"),
            "kill a task": lambda event: self._kill(event, "keeper.py", "prepare.py"),
            "storm": lambda event: self._storm("lines", 20_000 * event.number),
            "rubbish": lambda event: self._storm("rubbish", 1_000_000 * event.number),
            "edit": lambda event: self.configure(event.number, 1 + int(event.chance * 4)),
            "fault": lambda _: self.configuration.write_text("<ServiceConfiguration"),
            "scale": lambda event: self._command("scale", "--role", f"{self._role(event)}={event.number}"),
            "restart": lambda event: self._command("restart", "--role", self._role(event)),
            "kill the emulator": lambda _: self._kill_emulator(),
        }
        acts[event.what](event)

    def configure(self, web: int, talker: int) -> None:
        """Write a good configuration with other numbers of instances and another title."""
        self.title += 1
        text = self.good
        text = text.replace('name="Title" value="0"', f'name="Title" value="{self.title}"')
        first, second = (f'<Instances count="{count}" />' for count in (web, talker))
        head, middle, tail = text.split('<Instances count="2" />')
        part = self.configuration.with_suffix(".new")
        part.write_text(head + first + middle + second + tail)
        part.replace(self.configuration)

    def prepare(self) -> None:
        """Tell the roles where to write down what they do."""
        progress = self.place / "progress"
        progress.mkdir()
        self.good = self.configuration.read_text().replace('value="progress"', f'value="{progress}"')
        self.configuration.write_text(self.good)

    def wait_for_commands(self) -> None:
        for command in self._commands:
            command.wait(60)
        self._commands.clear()

    @staticmethod
    def _role(event: Event) -> str:
        return "web" if event.chance < 0.5 else "talker"

    def _kill(self, event: Event, *programs: str) -> None:
        there = sorted(pid for pid, line in of_service(self.place).items() if any(one in line for one in programs))
        if there:
            pid = there[int(event.chance * len(there))]
            before = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            self.killed[pid] = (before, time.monotonic())

    def _storm(self, kind: str, size: int) -> None:
        self._storms += 1
        part = self.place / "progress/storm.new"
        part.write_text(f"{kind} {self._storms} {size}")
        part.replace(self.place / "progress/storm")

    def _command(self, *words: str) -> None:
        argv = self.rolepack.argv(*words)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._commands.append(subprocess.Popen(argv, cwd=self.place, **quiet))

    def _kill_emulator(self) -> None:
        pid = self.rolepack.status(self.place)["emulator"]["pid"]
        began = time.monotonic()
        self.emulator_died.append(time.time_ns())
        os.kill(pid, signal.SIGKILL)
        until(lambda: not of_service(self.place), GONE_WITHIN)
        self.wait_for_commands()
        self.configure(2, 2)  # so that no fault keeps it from starting
        self.rolepack.ok("emulate", "--detach", cwd=self.place)
        self.down.append((began, time.monotonic()))


def forgivable(request: Request, disturber: Disturber, handled: dict[int, int]) -> bool:
    """Whether it had to fail: made while there was no emulator, or with a process that was killed meanwhile."""
    if any(began <= request.ended and request.began <= ended for began, ended in disturber.down):
        return True
    killed = disturber.killed.items()
    in_between = [pid for pid, (before, after) in killed if before <= request.ended and request.began <= after]
    return handled.get(request.number) in in_between if request.number in handled else bool(in_between)


def lost_lines(place: Path, died: list[int]) -> list[str]:
    """What is missing, doubled or out of order in the logs of the worker, process by process."""
    found: dict[str, list[int]] = {}
    for path in sorted((place / ".rolepack/emulator/Resources/Directory").glob("*/LogFiles/LaunchWorker.ps1.log*")):
        for life, number in LINE.findall(path.read_bytes()):
            found.setdefault(life.decode(), []).append(int(number))
    wrong = []
    for path in (place / "progress").glob("life-*"):
        life = path.name.removeprefix("life-")
        notes = [tuple(map(int, line.split())) for line in path.read_text().splitlines()]
        numbers = sorted(found.get(life, []))
        if numbers != list(range(len(numbers))):
            wrong.append(f"{life}: lines are missing or doubled")
        if not notes:
            continue
        end = next((moment for moment in died if moment > notes[-1][1] - 2 * REACHED), None)
        safe = [count for count, moment in notes if end is None or moment < end - REACHED]
        if safe and len(numbers) < safe[-1]:
            wrong.append(f"{life}: {len(numbers)} lines of at least {safe[-1]}")
    return wrong


@pytest.mark.long
def test_chaos_for_a_minute(service, rolepack, capsys):
    seed = SEED or str(secrets.randbelow(10**9))
    with capsys.disabled():
        print(f"\nROLEPACK_CHAOS_SEED={seed}")
    place = service("chaos")
    disturber = Disturber(place, rolepack)
    disturber.prepare()
    rolepack.ok("emulate", "--detach", cwd=place)
    port = int(rolepack.status(place)["endpoints"]["web/Endpoint1"].rpartition(":")[2])
    load = Load(port)
    clients = [threading.Thread(target=load.ask) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        began = time.monotonic()
        for event in schedule(seed):
            load.is_over.wait(max(0.0, began + event.moment - time.monotonic()))
            disturber.do(event)
        disturber.wait_for_commands()
        disturber.configure(**FINALLY)
        until(lambda: counts(rolepack.status(place)) == FINALLY, 90)
    finally:
        load.is_over.set()
        for client in clients:
            client.join()
    for role, count in FINALLY.items():
        for number in range(count):
            path = place / f".rolepack/emulator/roles/{role}_IN_{number}/role-environment.json"
            document = json.loads(path.read_text())
            assert document["current"]["settings"]["Title"] == str(disturber.title)
            assert {name: len(there["instances"]) for name, there in document["roles"].items()} == FINALLY
    rolepack.ok("stop", cwd=place)
    assert of_service(place) == {}
    handled = {}
    for line in (place / "progress/requests").read_text().splitlines():
        pid, number = line.split()
        if number != "-":
            handled[int(number)] = int(pid)
    failed = [request for request in load.requests if request.failure]
    assert [request for request in failed if not forgivable(request, disturber, handled)] == []
    assert len(load.requests) > 20 * SECONDS
    assert len(disturber.emulator_died) == 3
    assert lost_lines(place, disturber.emulator_died) == []
    assert list(place.rglob("*.part")) == []


def counts(status: dict) -> Counter[str]:
    """The instances by role, if all of them are Ready."""
    there = status["instances"]
    return Counter(one["role"] for one in there if all(each["state"] == "Ready" for each in there))
