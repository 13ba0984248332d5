"""Publishing to five Windows machines at addresses of their own, while the network is used, cut and bad.

They are made once, and a version of the service comes to them; each test goes on from the version that runs there.
"""

import contextlib
import http.client
import itertools
import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass

import namespaces
import pytest
import windows as wine
from conftest import Rolepack, until
from farm import DEFINITION, WORKER, Farm

COUNT = 5
CUT = 1
"""The machine that loses its link; the one before it has the new version by then, and those behind it have not."""
MISSING = wine.why_not() or namespaces.why_not()
pytestmark = [
    pytest.mark.long,
    pytest.mark.wine,
    pytest.mark.network,
    pytest.mark.skipif(bool(MISSING), reason=str(MISSING)),
]
INTERNAL = '<InternalEndpoint name="Peers" protocol="tcp" port="9100" />'
ADDRESSES = """
        there = document["roles"]["api"]["instances"]
        told["addresses"] = {{one["id"]: one["endpoints"]["Api"]["address"] for one in there}}
        self.send_response(200)"""
KNOWING = WORKER.replace("\n        self.send_response(200)", ADDRESSES)
"""A worker that also tells where the others are."""


class Five(Farm):
    """A service on five machines, whose versions are numbers."""

    def __init__(self, folder, site):
        super().__init__(folder, site.machines(folder / "machines"), Rolepack())
        self.network, self._numbers = site.network, map(str, itertools.count(1))

    def next(self):
        """Package the next version."""
        version = next(self._numbers)
        self.package(version, worker=KNOWING)
        return version

    def settle(self):
        """Let all machines be reached well, and run one version; which one that is."""
        self.network.calm()
        for number in range(COUNT):
            self.network.mend(number)
        running = self.versions()
        if None in running or len(set(running)) > 1:
            running = [self.next()]
            self.write_hosts(update_domain=0)  # all at once, which is faster
            self.ok("publish", "--yes")
            self.write_hosts()
        return running[0]


@pytest.fixture(scope="module")
def farm(tools, tmp_path_factory):
    if refused := namespaces.refused():
        pytest.skip(refused)
    folder = tmp_path_factory.mktemp("five")
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(namespaces.Site(tools, folder, COUNT))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr("farm.DEFINITION", DEFINITION.replace("</Endpoints>", f"{INTERNAL}</Endpoints>"))
        five = Five(folder, site)
        for machine in five.machines:
            stack.callback(machine.close)
        yield stack.enter_context(five.open())


@pytest.fixture
def old(farm):
    """The version that all five machines run."""
    return farm.settle()


def everywhere(version):
    return [version] * COUNT


def test_each_serves_at_its_address_and_knows_the_others(farm, old):
    addresses = farm.network.addresses
    known = {f"api_IN_{number}": address for number, address in enumerate(addresses)}
    for number, machine in enumerate(farm.machines):
        answer = farm.answer(number)
        assert (answer["version"], answer["instance"]) == (old, f"api_IN_{number}")
        assert answer["addresses"] == known
        rules = {rule["localport"]: rule.get("remoteip") for rule in machine.rules}
        assert sorted(rules) == sorted(["9100", str(farm.port)])
        assert rules[str(farm.port)] is None
        assert sorted(rules["9100"].split(",")) == sorted({*addresses} - {addresses[number]})


@dataclass(frozen=True)
class Asked:
    """One question to a machine, and the version that it has told; None if it has not answered."""

    began: float
    ended: float
    told: str | None


class Client(threading.Thread):
    """Asks one machine, again and again, each time on a connection of its own."""

    def __init__(self, address, port):
        super().__init__()
        self.asked, self.is_over = [], threading.Event()
        self._at = (address, port)

    def run(self):
        while not self.is_over.wait(0.03):
            began = time.monotonic()
            told = self._ask()
            self.asked.append(Asked(began, time.monotonic(), told))

    def _ask(self):
        with contextlib.closing(http.client.HTTPConnection(*self._at, timeout=5)) as connection:
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException):
                return None
        return json.loads(content)["version"] if answer.status == 200 else f"status {answer.status}"

    def gaps(self):
        """When it had no answer: the beginnings and ends of such times."""
        for told, group in itertools.groupby(self.asked, lambda asked: asked.told):
            if told is None:
                without = list(group)
                yield without[0].began, without[-1].ended

    def told(self):
        """What it was told, one thing after the other."""
        return [told for told, _ in itertools.groupby(asked.told for asked in self.asked if asked.told is not None)]


@contextlib.contextmanager
def asking(farm):
    """A client for each machine, which has its first answer before the block and another one after it."""
    clients = [Client(address, farm.port) for address in farm.network.addresses]
    for client in clients:
        client.start()
    try:
        until(lambda: all(client.asked for client in clients))
        yield clients
        counts = [len(client.asked) for client in clients]
        until(lambda: all(len(client.asked) > count + 1 for client, count in zip(clients, counts, strict=True)))
    finally:
        for client in clients:
            client.is_over.set()
        for client in clients:
            client.join()


def most_away(clients):
    """How many machines did not answer at one time, at most."""
    gaps = [gap for client in clients for gap in client.gaps()]
    return max((sum(began <= moment <= ended for began, ended in gaps) for moment, _ in gaps), default=0)


def test_while_a_version_walks_the_domains_at_least_three_answer_old_or_new(farm, old):
    new = farm.next()
    with asking(farm) as clients:
        said = farm.ok("publish", "--yes").splitlines()
    steps = [line for line in said if line.startswith("update domain") or line.endswith(": Ready")]
    assert steps == [line for n in range(COUNT) for line in (f"update domain {n}: m{n}", f"m{n}: api_IN_{n}: Ready")]
    assert [client.told() for client in clients] == everywhere([old, new])
    assert COUNT - most_away(clients) >= 3
    assert farm.versions() == everywhere(new)


def test_a_machine_that_loses_its_link_in_its_switch_fails_the_command_and_the_others_go_back(farm, old):
    new = farm.next()
    words, environ = farm.rolepack.argv("publish", "--yes"), {**os.environ, **farm.environ}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, cwd=farm.folder, env=environ, text=True, **pipes) as command:
        assert any(line == f"m{CUT}: stopping api_IN_{CUT}\n" for line in command.stdout)
        farm.network.cut(CUT)
        _, wrong = command.communicate(timeout=200)
    assert command.returncode == 1
    assert f"host 'm{CUT}', switch: " in wrong
    assert "Traceback" not in wrong
    assert farm.versions() == [None if number == CUT else old for number in range(COUNT)]
    farm.network.mend(CUT)
    farm.ok("publish", "--yes")
    assert farm.versions() == everywhere(new)


def test_a_version_comes_through_delay_and_loss(farm, old):
    if refused := farm.network.disturb("50ms", "1%"):
        pytest.skip(f"tc netem: {refused}")
    new = farm.next()
    try:
        farm.ok("publish", "--yes")
        assert farm.versions() == everywhere(new)
    finally:
        farm.network.calm()
