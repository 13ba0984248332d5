"""What makes the emulator pleasant to write programs with: reload, a debugger, https."""

import json
import re
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from conftest import free_port, get, one, said, until


def test_a_changed_file_recycles_its_role_by_update_domain(service, rolepack):
    place = service("pair")
    rolepack.ok("emulate", "--reload", "--detach", cwd=place)
    before = rolepack.status(place)
    (place / "roles/web/lib/extra.py").write_text('WORD = "new"\n')
    until(lambda: [each["restarts"] for each in rolepack.status(place)["instances"]] == [1, 1, 0])
    until(lambda: one(rolepack.status(place), "web_IN_1")["state"] == "Ready")
    assert json.loads(get(before["endpoints"]["web/Endpoint1"]))["extra"] == "new"
    text = said(place)
    assert "roles/web/lib/extra.py changed\n" in text
    assert text.index("web_IN_0 is Ready") < text.index("web_IN_1 is Ready")
    (place / "roles/web/data.sqlite3").write_text("what a program writes itself")
    (place / "roles/web/__pycache__").mkdir()
    (place / "roles/web/__pycache__/a.pyc").write_text("")
    (place / "roles/jobs/worker.py").write_text("import time\ntime.sleep(3600)\n")
    until(lambda: one(rolepack.status(place), "jobs_IN_0")["restarts"] == 1)
    assert [each["restarts"] for each in rolepack.status(place)["instances"]] == [1, 1, 1]
    (place / "roles/jobs/requirements.txt").write_text("# nothing\n")
    until(lambda: "what a role needs is installed by `invoke upgrade`" in said(place))


class Client:
    """A debugger's client, as far as a breakpoint needs one (Debug Adapter Protocol)."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._stream = self._socket.makefile("rb")
        self._number = 0

    def send(self, command: str, **arguments: Any) -> int:
        self._number += 1
        message = {"seq": self._number, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(message).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        return self._number

    def wait(self, kind: str, name: str) -> dict:
        while True:
            length = 0
            while (line := self._stream.readline().strip()) != b"":
                length = int(line.partition(b":")[2])
            message = json.loads(self._stream.read(length))
            if message["type"] == kind and message.get("command", message.get("event")) == name:
                return message

    def attach(self, breakpoints: dict[Path, int]) -> None:
        self.send("initialize", adapterID="test", pathFormat="path")
        self.wait("response", "initialize")
        self.send("attach", justMyCode=False)
        self.wait("event", "initialized")
        for path, line in breakpoints.items():
            self.send("setBreakpoints", source={"path": str(path)}, breakpoints=[{"line": line}])
            self.wait("response", "setBreakpoints")
        self.send("configurationDone")

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


def test_a_site_stops_at_a_breakpoint(service, rolepack):
    place = service("pair")
    port = free_port()
    told = rolepack.ok("emulate", "--role", "web", "--debug", f"web={port}", "--vscode", "--detach", cwd=place)
    assert f"web_IN_1 is debugged at 127.0.0.1:{port + 1}\n" in told
    assert "Wrote .vscode/launch.json.\n" in told
    written = json.loads((place / ".vscode/launch.json").read_text())
    assert [each["connect"]["port"] for each in written["configurations"]] == [port, port + 1]
    path = place / "roles/web/site_app.py"
    line = 1 + path.read_text().splitlines().index("        import extra")
    client = Client(port)
    client.attach({path: line})
    at = one(rolepack.status(place), "web_IN_0")["endpoints"]["Endpoint1"]["port"]
    with socket.create_connection(("127.0.0.1", at)) as asked:
        asked.sendall(b"GET / HTTP/1.0\r\n\r\n")
        thread = client.wait("event", "stopped")["body"]["threadId"]
        client.send("stackTrace", threadId=thread)
        frame = client.wait("response", "stackTrace")["body"]["stackFrames"][0]
        assert (Path(frame["source"]["path"]), frame["line"]) == (path, line)
        client.send("continue", threadId=thread)
        assert asked.recv(20).startswith(b"HTTP/1.1 200")
    client.close()


def test_a_worker_waits_for_its_debugger(service, rolepack):
    place = service("pair")
    path = place / "roles/jobs/worker.py"
    path.write_text("import time\nprint('begun', flush=True)\nnumber = 41\nnumber += 1\ntime.sleep(3600)\n")
    port = free_port()
    told = rolepack.ok("emulate", "--role", "jobs", "--debug", f"jobs={port}", "--wait", "--detach", cwd=place)
    (made,) = json.loads(told[told.index("[") : told.rindex("]") + 1])
    assert made == {
        "name": "rolepack: jobs_IN_0",
        "type": "debugpy",
        "request": "attach",
        "connect": {"host": "127.0.0.1", "port": port},
        "justMyCode": False,
    }
    assert "begun" not in rolepack.ok("logs", cwd=place)
    client = Client(port)
    client.attach({path: 5})
    thread = client.wait("event", "stopped")["body"]["threadId"]
    client.send("stackTrace", threadId=thread)
    frame = client.wait("response", "stackTrace")["body"]["stackFrames"][0]
    client.send("evaluate", expression="number", frameId=frame["id"])
    assert client.wait("response", "evaluate")["body"]["result"] == "42"
    client.close()
    until(lambda: "jobs_IN_0 | begun\n" in rolepack.ok("logs", cwd=place))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--wait"], "--wait: nothing is debugged. Add --debug ROLE.\n"),
        (["--debug", "mail"], "--debug: no role 'mail' runs here. Choose from web, jobs.\n"),
        (["--debug", "web=x"], "--debug: 'web=x' has no port. Write ROLE=PORT, as in frontend=5678.\n"),
    ],
)
def test_a_debugger_for_nothing_is_refused(words, message, service, rolepack):
    assert rolepack.refused("emulate", *words, cwd=service("pair")).endswith(message)


def test_settings_of_vscode_with_comments_are_left_alone(service, rolepack):
    place = service("pair")
    (place / ".vscode").mkdir()
    path = place / ".vscode/launch.json"
    path.write_text('{"configurations": [] /* mine */}')
    words = ("emulate", "--role", "jobs", "--debug", "jobs", "--vscode", "--detach")
    assert "it is not plain JSON" in rolepack.refused(*words, cwd=place)
    assert path.read_text() == '{"configurations": [] /* mine */}'
    path.write_text('{"configurations": [{"name": "mine"}, {"name": "rolepack: jobs_IN_0"}]}')
    rolepack.ok(*words, cwd=place)
    names = [each["name"] for each in json.loads(path.read_text())["configurations"]]
    assert names == ["mine", "rolepack: jobs_IN_0"]


def test_https_with_a_certificate_that_only_who_names_it_trusts(service, rolepack, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    place = service("pair")
    definition = place / "ServiceDefinition.csdef"
    text = definition.read_text().replace("</Bindings>", '<Binding name="s" endpointName="Secure" /></Bindings>')
    endpoint = '<InputEndpoint name="Secure" protocol="https" port="443" certificate="tls" />'
    certificate = '<Certificates><Certificate name="tls" storeLocation="LocalMachine" storeName="My" /></Certificates>'
    definition.write_text(text.replace("</Endpoints>", f"{endpoint}</Endpoints>{certificate}", 1))
    app = place / "roles/web/site_app.py"
    app.write_text(app.read_text().replace("extra.WORD}", 'extra.WORD, "scheme": environ["wsgi.url_scheme"]}'))
    thumbprint = (
        f'<Certificates><Certificate name="tls" thumbprint="{"AB" * 20}" thumbprintAlgorithm="sha1" /></Certificates>'
    )
    for path in place.glob("*.cscfg"):
        text = path.read_text(encoding="utf-8")
        begin = text.index("</Role>", text.index('name="web"'))
        path.write_text(text[:begin] + thumbprint + text[begin:], encoding="utf-8")
    told = rolepack.ok("emulate", "--role", "web", "--detach", cwd=place)
    shown = json.loads(rolepack.ok("certificate", "--json", cwd=place))
    assert f"https is served with {shown['path']}" in told
    assert Path(shown["path"]).is_relative_to(tmp_path / "data")
    assert Path(shown["path"]).with_suffix(".key").stat().st_mode & 0o077 == 0
    url = rolepack.status(place)["endpoints"]["web/Secure"]
    assert url.startswith("https://127.0.0.1:")
    trusting = ssl.create_default_context(cafile=shown["path"])
    for host in ("127.0.0.1", "localhost"):
        with urllib.request.urlopen(url.replace("127.0.0.1", host), context=trusting, timeout=30) as answer:
            assert json.load(answer)["scheme"] == "https"
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        get(url)
    again = json.loads(rolepack.ok("certificate", "--json", cwd=place))
    assert again == shown
    assert time.time() < time.mktime(time.strptime(shown["ends"][:10], "%Y-%m-%d"))


@pytest.mark.skipif(shutil.which("certutil") is None, reason="needs libnss3-tools, on Linux")
def test_a_certificate_is_trusted_once_the_user_says_so(rolepack, tmp_path):
    environ = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    store = tmp_path / ".pki/nssdb"
    listed = ["certutil", "-d", f"sql:{store}", "-L"]
    assert "Nothing trusts it yet" in rolepack.ok("certificate", cwd=tmp_path, **environ)
    assert not store.exists()
    for _ in range(2):
        assert "Your programs trust it now." in rolepack.ok("certificate", "--trust", cwd=tmp_path, **environ)
        shown = subprocess.run([*listed], capture_output=True, text=True, check=True).stdout
        assert re.findall("^rolepack development +(.*?) *$", shown, re.MULTILINE) == ["P,,"]
        held = subprocess.run([*listed, "-n", "rolepack development", "-a"], capture_output=True, text=True, check=True)
        (made,) = (tmp_path / "data").rglob("localhost.pem")
        assert held.stdout.split() == made.read_text().split()
        made.unlink()  # so that the next is another
    (store / "cert9.db").write_text("no database")
    refused = rolepack.refused("certificate", "--trust", cwd=tmp_path, **environ)
    assert refused.startswith("--trust: your certificate store does not take it: ")
    refused = rolepack.refused("certificate", "--trust", cwd=tmp_path, PATH="", **environ)
    assert "libnss3-tools on Debian" in refused
