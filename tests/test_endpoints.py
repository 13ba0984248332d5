"""Endpoints from outside: http, tcp and udp, instance input, probes, and who may know of whom."""

import contextlib
import http.client
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from conftest import free_port, get, one, status_of, until

ECHO = '''
"""Echoes on each of its endpoints, by tcp and udp, its name before what it got; /health is as the file `sick` says."""

import json
import os
import socketserver
import threading
from pathlib import Path

here = json.loads(Path(os.environ["ROLE_ENVIRONMENT"]).read_text())["current"]
sick = Path(os.environ["RoleRoot"], "sick")


class Tcp(socketserver.BaseRequestHandler):
    def handle(self):
        asked = self.request.recv(1000)
        if asked.startswith(b"GET /health"):
            status = b"503 Sick" if sick.exists() else b"200 OK"
            self.request.sendall(b"HTTP/1.1 %s\\r\\nContent-Length: 0\\r\\n\\r\\n" % status)
        else:
            self.request.sendall(here["id"].encode() + b" " + asked)


class Udp(socketserver.BaseRequestHandler):
    def handle(self):
        self.request[1].sendto(here["id"].encode() + b" " + self.request[0], self.client_address)


for endpoint in here["endpoints"].values():
    where = endpoint["address"], endpoint["port"]
    kind = socketserver.ThreadingUDPServer if endpoint["protocol"] == "udp" else socketserver.ThreadingTCPServer
    kind.allow_reuse_address = True
    server = kind(where, Udp if endpoint["protocol"] == "udp" else Tcp)
    threading.Thread(target=server.serve_forever).start()
'''
DEFINITION = """<ServiceDefinition name="ends" upgradeDomainCount="2"
    xmlns="http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition">
  <LoadBalancerProbes>
    <LoadBalancerProbe name="health" protocol="http" path="/health" intervalInSeconds="5" timeoutInSeconds="11" />
  </LoadBalancerProbes>
  <WorkerRole name="echo">
    <Endpoints>{endpoints}</Endpoints>
    <Runtime><EntryPoint>
      <ProgramEntryPoint commandLine="python echo.py" setReadyOnProcessStart="true" />
    </EntryPoint></Runtime>
  </WorkerRole>
  <WorkerRole name="other">
    <Endpoints><InternalEndpoint name="In" protocol="tcp" /></Endpoints>
    <Runtime><EntryPoint>
      <ProgramEntryPoint commandLine="python echo.py" setReadyOnProcessStart="true" />
    </EntryPoint></Runtime>
  </WorkerRole>
  {rules}
</ServiceDefinition>
"""
CONFIGURATION = """<ServiceConfiguration serviceName="ends" osFamily="7"
    xmlns="http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceConfiguration">
  <Role name="echo"><Instances count="{count}" /></Role>
  <Role name="other"><Instances count="1" /></Role>
</ServiceConfiguration>
"""


@pytest.fixture
def ends(tmp_path, rolepack):
    """Makes and starts a service whose workers echo; gives its folder."""

    def make(endpoints: str, count: int = 2, rules: str = "") -> Path:
        place = tmp_path / "ends"
        for role in ("echo", "other"):
            (place / "roles" / role).mkdir(parents=True)
            (place / "roles" / role / "echo.py").write_text(ECHO)
        (place / "ServiceDefinition.csdef").write_text(DEFINITION.format(endpoints=endpoints, rules=rules))
        (place / "ServiceConfiguration.Local.cscfg").write_text(CONFIGURATION.format(count=count))
        rolepack.ok("emulate", "--detach", cwd=place)
        return place

    return make


def where(status: dict, name: str, scheme: str) -> tuple[str, int]:
    url = status["endpoints"][name]
    assert url.startswith(f"{scheme}://127.0.0.1:")
    return "127.0.0.1", int(url.rpartition(":")[2])


def tcp(address: tuple[str, int], text: bytes = b"hello") -> bytes:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(text)
        return connection.recv(1000)


def udp(address: tuple[str, int], client: socket.socket, text: bytes = b"hello") -> bytes | None:
    client.sendto(text, address)
    with contextlib.suppress(TimeoutError):
        return client.recv(1000)
    return None


def new_client() -> socket.socket:
    client = socket.socket(type=socket.SOCK_DGRAM)
    client.settimeout(1)
    return client


def test_tcp_and_udp_are_balanced(ends, rolepack):
    port = free_port()
    endpoint = '<InputEndpoint name="{}" protocol="{}" port="{}" />'
    place = ends(endpoint.format("T", "tcp", port) + endpoint.format("U", "udp", port))
    status = rolepack.status(place)
    assert {tcp(where(status, "echo/T", "tcp")) for _ in range(4)} == {b"echo_IN_0 hello", b"echo_IN_1 hello"}
    public = where(status, "echo/U", "udp")
    with new_client() as first, new_client() as second:
        answers = {udp(public, client) for client in (first, second)}
        assert answers == {b"echo_IN_0 hello", b"echo_IN_1 hello"}
        mine = udp(public, first)
        assert {udp(public, first) for _ in range(5)} == {mine}, "a client stays with its instance"
        name = mine.decode().partition(" ")[0]
        os.kill(one(status, name)["pid"], signal.SIGSTOP)
        rolepack.ok("scale", "--role", "echo=1", cwd=place)
        assert until(lambda: udp(public, first)) == b"echo_IN_0 hello"


def test_each_instance_has_a_public_port_of_its_own(ends, rolepack):
    port = free_port()
    endpoint = '<InstanceInputEndpoint name="Own" protocol="tcp" localPort="10100">'
    endpoint += f'<AllocatePublicPortFrom><FixedPortRange min="{port}" max="{port + 9}" /></AllocatePublicPortFrom>'
    place = ends(endpoint + "</InstanceInputEndpoint>")
    rolepack.ok("scale", "--role", "echo=3", cwd=place)
    status = rolepack.status(place)
    for name in ("echo_IN_0", "echo_IN_1", "echo_IN_2"):
        assert tcp(where(status, f"{name}/Own", "tcp")) == f"{name} hello".encode()
    assert len(set(status["endpoints"].values())) == 3


def test_a_probe_takes_an_instance_out_and_puts_it_back(ends, rolepack):
    place = ends(f'<InputEndpoint name="T" protocol="tcp" port="{free_port()}" loadBalancerProbe="health" />')
    status = rolepack.status(place)
    assert one(status, "echo_IN_0")["probes"] == {"T": True}
    public = where(status, "echo/T", "tcp")
    assert {tcp(public) for _ in range(4)} == {b"echo_IN_0 hello", b"echo_IN_1 hello"}
    sick = place / ".rolepack/emulator/roles/echo_IN_1/sick"
    sick.touch()
    until(lambda: one(rolepack.status(place), "echo_IN_1")["probes"] == {"T": False}, 40)
    assert {tcp(public) for _ in range(6)} == {b"echo_IN_0 hello"}
    assert one(rolepack.status(place), "echo_IN_1")["state"] == "Ready"
    sick.unlink()
    until(lambda: one(rolepack.status(place), "echo_IN_1")["probes"] == {"T": True}, 20)
    assert {tcp(public) for _ in range(4)} == {b"echo_IN_0 hello", b"echo_IN_1 hello"}
    console = (place / ".rolepack/emulator/console.log").read_text()
    assert "echo_IN_1  > probe health of T does not answer: out of the balance" in console
    assert "echo_IN_1  > probe health of T answers again" in console


def test_an_upgrade_respects_the_probe(ends, rolepack):
    place = ends(f'<InputEndpoint name="T" protocol="tcp" port="{free_port()}" loadBalancerProbe="health" />')
    path = place / "roles/echo/echo.py"
    path.write_text(ECHO.replace("200 OK", "503 Never") + "\nimport time\ntime.sleep(4)\nos._exit(5)\n")
    before = rolepack.status(place)
    assert rolepack.refused("upgrade", cwd=place).startswith("echo_IN_0: it does not come up: exit code 5.")
    after = rolepack.status(place)
    assert one(after, "echo_IN_1")["pid"] == one(before, "echo_IN_1")["pid"]
    assert tcp(where(after, "echo/T", "tcp")).endswith(b" hello")


RULES = """<NetworkTrafficRules><OnlyAllowTrafficTo>
  <Destinations><RoleEndpoint endpointName="In" roleName="other" /></Destinations>
  <WhenSource matches="AnyRule"><FromRole roleName="other" /></WhenSource>
</OnlyAllowTrafficTo></NetworkTrafficRules>"""


@pytest.mark.parametrize(("rules", "seen"), [("", ["In"]), (RULES, [])])
def test_traffic_rules_decide_who_knows_an_internal_endpoint(rules, seen, ends, rolepack):
    place = ends('<InternalEndpoint name="I" protocol="tcp" />', rules=rules)
    status = rolepack.status(place)
    assert status["endpoints"] == {}, "nothing internal is public"

    def known(name: str) -> list[str]:
        document = json.loads((place / ".rolepack/emulator/roles" / name / "role-environment.json").read_text())
        return list(document["roles"]["other"]["instances"][0]["endpoints"])

    assert known("echo_IN_0") == seen
    assert known("other_IN_0") == ["In"]


def test_while_no_instance_is_ready_a_client_is_told(service, rolepack):
    place = service("pair")
    (place / "roles/web/site_app.py").write_text("import time\ntime.sleep(600)\n")
    with rolepack.start(place, "--role", "web") as console:
        line = until(lambda: (text := console.stdout.readline()).startswith("web/Endpoint1 is at") and text)
        assert status_of(line.rpartition(" ")[2].strip()) == 503
        rolepack.ok("stop", cwd=place)
        console.communicate(timeout=60)


def test_a_site_counts_as_ready_when_it_answers_and_gets_nothing_before(service, rolepack):
    place = service("pair")
    path = place / "roles/web/site_app.py"
    path.write_text(path.read_text() + "\nimport time\ntime.sleep(2)\n")
    began = time.monotonic()
    rolepack.ok("emulate", "--detach", "--role", "web", cwd=place)
    assert time.monotonic() - began > 2
    assert json.loads(get(rolepack.status(place)["endpoints"]["web/Endpoint1"]))["colour"] == "green"


WAYS = '''
"""Answers in every way that WSGI has."""


class Later:
    """Calls start_response when its first piece is asked for, and says when it is closed."""

    def __init__(self, environ, start):
        self._start = start
        self._left = [b"", b"la", b"ter"]

    def __iter__(self):
        return self

    def __next__(self):
        if len(self._left) == 3:
            self._start("201 Created", [("X-Way", "later")])
        if not self._left:
            raise StopIteration
        return self._left.pop(0)

    def close(self):
        print("closed", flush=True)


def generated(environ, start):
    start("202 Accepted", [("X-Way", "generated")])
    yield b"gene"
    yield b"rated"


def written(environ, start):
    start("203 Other", [("X-Way", "written")])(b"writ")
    return [b"ten"]


def silent(environ, start):
    return []


def app(environ, start):
    ways = {"/later": Later, "/generated": generated, "/written": written, "/silent": silent}
    return ways.get(environ["PATH_INFO"], written)(environ, start)
'''


def test_a_site_answers_in_every_way_of_wsgi_and_at_once_on_a_kept_connection(service, rolepack):
    place = service("pair")
    (place / "roles/web/site_app.py").write_text(WAYS)
    config = place / "roles/web/web.config"
    config.write_text(config.read_text().replace("site_app.make().wsgi", "site_app.app"))
    rolepack.ok("emulate", "--role", "web", "--detach", cwd=place)
    host = rolepack.status(place)["endpoints"]["web/Endpoint1"].removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=30)
    found, taken = {}, []
    for way in ("later", "generated", "written") * 5:
        began = time.monotonic()
        connection.request("GET", f"/{way}")
        answer = connection.getresponse()
        found[way] = answer.status, answer.headers["X-Way"], answer.read()
        taken.append(time.monotonic() - began)
    connection.close()
    assert found == {
        "later": (201, "later", b"later"),
        "generated": (202, "generated", b"generated"),
        "written": (203, "written", b"written"),
    }
    assert sorted(taken)[len(taken) // 2] < 0.03, "the system waits 40 ms where small packets are gathered"
    assert status_of(f"http://{host}/silent") == 500
    until(lambda: rolepack.ok("logs", cwd=place).count("closed") == 5)
