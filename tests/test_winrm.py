"""The doubles of Windows hosts, by which the publisher is proved, do what pywinrm expects and Windows' programs do.

What is about WinRM alone runs the commands of this machine's shell; the rest needs wine.
"""

import hashlib
import os
import subprocess
import time
import urllib.request
from contextlib import closing

import pytest
import requests
import windows as wine
from conftest import free_port, get, is_alive, until
from hosted import certified
from machines import Machine
from winrm.exceptions import InvalidCredentialsError, WinRMTransportError, WSManFaultError
from winrm.protocol import Protocol
from winrm_host import ENVELOPE, LONGEST_LINE, OUTPUT, Winrm

MISSING = wine.why_not()
PATIENCE = {"operation_timeout_sec": 1, "read_timeout_sec": 20}
APPCMD = r"%windir%\system32\inetsrv\appcmd.exe"


def on_windows(test):
    """Mark a test that needs wine."""
    for mark in (pytest.mark.wine, pytest.mark.network, pytest.mark.skipif(bool(MISSING), reason=str(MISSING))):
        test = mark(test)
    return test


def shell(line, environ, directory=None):
    """A runner with the shell of this machine."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(["sh", "-c", line], env={**os.environ, **environ}, cwd=directory, **pipes)


def connect(host, transport="ntlm", **options):
    """A client of pywinrm."""
    options = {"username": host.user, "password": host.password, **PATIENCE, **options}
    return Protocol(host.url, transport, server_cert_validation="ignore", proxy=None, **options)


class Client:
    """One shell of a host."""

    def __init__(self, host, **options):
        self.protocol = connect(host)
        self.shell = self.protocol.open_shell(**options)

    def start(self, line):
        """Start a command."""
        return self.protocol.run_command(self.shell, line)

    def run(self, line, content=b"", size=1):
        """Run a command, with input in pieces of a size; what it prints, and its exit code."""
        command = self.start(line)
        for place in range(0, len(content), size):
            piece = content[place : place + size]
            self.protocol.send_command_input(self.shell, command, piece, end=place + size >= len(content))
        return self.protocol.get_command_output(self.shell, command)

    def ok(self, line):
        """Run a command that must succeed; what it prints."""
        printed, errors, code = self.run(line)
        assert code == 0, printed + errors
        return printed.decode()

    def close(self):
        self.protocol.close_shell(self.shell)


@pytest.fixture
def host():
    with Winrm(shell) as there:
        yield there


@pytest.fixture
def client(host):
    there = Client(host)
    yield there
    there.protocol.transport.close_session()


@pytest.fixture
def secure(tmp_path):
    with Winrm(shell, certificate=certified(tmp_path)) as there:
        yield there


def test_a_command_gets_the_variables_and_the_folder_of_its_shell_and_its_exit_code_comes_back(host, tmp_path):
    there = Client(host, env_vars={"NAME": "ä b"}, working_directory=str(tmp_path))
    printed, errors, code = there.run('echo "$NAME"; pwd; echo wrong >&2; exit 7')
    assert (printed.decode(), errors, code) == (f"ä b\n{tmp_path}\n", b"wrong\n", 7)
    there.close()
    assert list(dict.fromkeys(host.requests)) == ["Create", "Command", "Receive", "Delete"]
    assert not host.service.shells


@pytest.mark.parametrize("transport", ["ntlm", "basic"])
def test_https_takes_both_kinds_of_credentials(transport, secure):
    protocol = connect(secure, transport)
    opened = protocol.open_shell()
    command = protocol.run_command(opened, "echo $((6 * 7))")
    assert protocol.get_command_output(opened, command) == (b"42\n", b"", 0)
    protocol.close_shell(opened)


@pytest.mark.parametrize("transport", ["ntlm", "basic"])
def test_a_wrong_password_is_refused(transport, secure):
    wrong = {"password": "none"}
    with pytest.raises(InvalidCredentialsError):
        connect(secure, transport, **wrong).open_shell()


def test_http_takes_nothing_that_is_not_encrypted(host):
    with pytest.raises(InvalidCredentialsError):
        connect(host, "basic").open_shell()
    with pytest.raises(WinRMTransportError) as refused:
        connect(host, message_encryption="never").open_shell()
    assert refused.value.code == 500
    assert not host.requests


def test_a_command_that_says_nothing_for_long_is_asked_again(host, client):
    assert client.run("sleep 1.3; echo late") == (b"late\n", b"", 0)
    assert host.requests.count("Receive") >= 2


def test_much_output_comes_in_pieces(host, client):
    printed, _, code = client.run(f"head -c {3 * OUTPUT} /dev/zero")
    assert (len(printed), code) == (3 * OUTPUT, 0)
    assert host.requests.count("Receive") >= 3


def test_input_of_a_command_ends_where_the_client_says(client):
    content = os.urandom(1 << 20)
    printed, _, _ = client.run("sha256sum", content, size=285_000)
    assert printed.decode().split()[0] == hashlib.sha256(content).hexdigest()
    command = client.start("cat")
    client.protocol.send_command_input(client.shell, command, b"last", end=True)
    with pytest.raises(WSManFaultError) as refused:
        client.protocol.send_command_input(client.shell, command, b"more")
    assert refused.value.wsman_fault_code == 2147942632


def test_a_message_above_the_envelope_is_refused(client):
    command = client.start("cat")
    client.protocol.send_command_input(client.shell, command, b"x" * (ENVELOPE * 7 // 10))
    with pytest.raises(WinRMTransportError) as refused:
        client.protocol.send_command_input(client.shell, command, b"x" * ENVELOPE)
    assert refused.value.code == 413


def test_a_line_may_be_as_long_as_windows_has_it(client):
    assert client.run("echo ".ljust(LONGEST_LINE, "x"))[2] == 0
    printed, errors, code = client.run("echo ".ljust(LONGEST_LINE + 1, "x"))
    assert (printed, errors, code) == (b"", b"The command line is too long.\r\n", 1)


def test_shells_and_commands_that_are_not_there_are_faults(client):
    command = client.start("true")
    client.protocol.cleanup_command(client.shell, command)
    for given in ((client.shell, command), ("no", command)):
        with pytest.raises(WSManFaultError) as refused:
            client.protocol.get_command_output(*given)
        assert refused.value.wsman_fault_code == 2150858843


def test_a_shell_takes_its_processes_along_and_a_connection_does_not(host, tmp_path):
    lost, deleted = Client(host), Client(host)
    for there, name in ((lost, "lost"), (deleted, "deleted")):
        there.start(f"echo $$ >{tmp_path / name}; exec sleep 60")
    numbers = [
        int(until((tmp_path / name).exists) and until((tmp_path / name).read_text)) for name in ("lost", "deleted")
    ]
    lost.protocol.transport.close_session()
    deleted.close()
    assert [is_alive(number) for number in numbers] == [True, False]
    host.reboot()
    until(lambda: not is_alive(numbers[0]))


DONE = {"drop before": False, "drop after": True, "truncated": True, "500": False, "413": False}


@pytest.mark.parametrize("kind", DONE)
def test_a_fault_meets_one_operation(kind, host, client, tmp_path):
    host.inject(kind, nth=2, operation="Command")
    assert client.run("echo first")[0] == b"first\n"
    with pytest.raises((requests.RequestException, WinRMTransportError)) as failed:
        client.start(f"touch {tmp_path / 'done'}")
    if kind in {"500", "413"}:
        assert failed.value.code == int(kind)
    if DONE[kind]:
        until((tmp_path / "done").exists)
    assert (tmp_path / "done").exists() == DONE[kind]
    assert Client(host).run("echo third")[0] == b"third\n"


def test_a_delay_is_no_more_than_that(host, client):
    host.inject("delay", seconds=0.3)
    start = time.monotonic()
    assert client.run("echo later")[0] == b"later\n"
    assert time.monotonic() - start >= 0.3


def test_a_host_that_is_away_closes_every_connection(host, client):
    host.refuse = True
    with pytest.raises(requests.ConnectionError):
        client.start("true")
    with pytest.raises(requests.ConnectionError):
        connect(host).open_shell()
    host.refuse = False
    assert Client(host).run("echo back")[0] == b"back\n"


@pytest.fixture
def remote(machine):
    """A shell of a Windows machine."""
    with machine.winrm() as host, closing(Client(host)) as there:
        yield there


@on_windows
def test_cmd_runs_a_line_as_it_is_written(remote):
    line = 'echo "%OS%" ^& (x) & python -c "import sys; sys.exit(3010)"'
    assert remote.run(line) == (b'"Windows_NT" & (x) \r\n', b"", 3010)
    assert remote.run('python -c "import sys; sys.exit(-1073741510)"')[2] == -1073741510


@on_windows
def test_three_megabytes_come_through_stdin_as_they_are(remote):
    content = os.urandom(3_000_000)
    line = 'python -c "import hashlib,sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"'
    printed, _, code = remote.run(line, content, size=285_000)  # 380 KB as base64
    assert (printed.decode().strip(), code) == (hashlib.sha256(content).hexdigest(), 0)


BEAT = """
import json, os, subprocess, sys, time
beat = "import time\\nfor _ in range(1200):\\n    open('beats', 'a').write('x')\\n    time.sleep(0.05)"
if not os.path.exists("environ.json"):
    open("environ.json", "w").write(json.dumps([sys.argv[1:], dict(os.environ)]))
subprocess.run([sys.executable, "-c", beat])
"""
TASK = """<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <Triggers><BootTrigger><Enabled>true</Enabled></BootTrigger></Triggers>
  <Settings><MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy></Settings>
  <Actions><Exec><Command>{}</Command><Arguments>beat.py "two words"</Arguments>
    <WorkingDirectory>{}</WorkingDirectory></Exec></Actions>
</Task>
"""


class Beats:
    """A program that goes on, with a child that beats."""

    def __init__(self, place):
        self._beats = place / "beats"
        (place / "beat.py").write_text(BEAT)

    def count(self):
        return self._beats.stat().st_size if self._beats.exists() else 0

    def goes_on(self):
        """Whether it beats."""
        before = self.count()
        return until(lambda: self.count() > before + 3, 20)

    def has_ended(self):
        """Whether it beats no more."""
        time.sleep(0.3)
        before = self.count()
        time.sleep(0.3)
        return self.count() == before


@on_windows
def test_a_deleted_shell_ends_what_its_commands_have_started(machine, tmp_path):
    beats = Beats(tmp_path)
    with machine.winrm() as host:
        there = Client(host, working_directory=machine.path(tmp_path))
        there.start("python beat.py")
        assert beats.goes_on()
        there.close()
        assert beats.has_ended()


@pytest.fixture
def task(machine, tmp_path):
    """The XML of a task for the program that beats."""
    place = tmp_path / "task.xml"
    place.write_text(TASK.format(machine.interpreter, machine.path(tmp_path)), "utf-16")
    return machine.path(place)


@on_windows
def test_a_task_outlives_the_shell_that_runs_it_and_starts_with_the_machine(machine, task, tmp_path):
    beats = Beats(tmp_path)
    with machine.winrm() as host:
        there = Client(host, env_vars={"EMULATED": "true"})
        assert there.run(r"schtasks /query /tn shop\jobs")[2] == 1
        there.ok(rf"schtasks /create /tn shop\jobs /xml {task} /f")
        there.ok(r"schtasks /run /tn shop\jobs & schtasks /run /tn shop\jobs")
        assert there.ok("schtasks /query /fo csv /nh") == '"\\shop\\jobs","N/A","Running"\r\n'
        there.close()
        assert beats.goes_on()
        assert len(list((machine.state / "running").iterdir())) == 1, "it ran already"
        assert "EMULATED" not in (tmp_path / "environ.json").read_text()
        assert '[["two words"], {' in (tmp_path / "environ.json").read_text()
        there = Client(host)
        machine.boot()
        assert beats.goes_on()
        with pytest.raises((requests.ConnectionError, WinRMTransportError)):
            there.run("ver")
        Client(host).ok(r"schtasks /end /tn shop\jobs & schtasks /query /tn shop\jobs")
        assert beats.has_ended()
        assert machine.tasks() == {r"shop\jobs": "Ready"}
        Client(host).ok(r"schtasks /delete /tn shop\jobs /f")
    assert machine.tasks() == {}


APP = """
import os, sys
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [" ".join([sys.platform, os.environ["GREETING"], os.environ["RoleName"], environ["PATH_INFO"]]).encode()]
"""
CONFIG = """<configuration>
  <appSettings><add key="WSGI_HANDLER" value="shown.app" /><add key="GREETING" value="hello" /></appSettings>
  <system.webServer><handlers>
    <add name="PythonHandler" path="*" verb="*" modules="FastCgiModule" scriptProcessor="{}|wfastcgi.py" />
  </handlers></system.webServer>
</configuration>
"""


def make_site(machine, place):
    (place / "shown.py").write_text(APP)
    (place / "web.config").write_text(CONFIG.format(machine.interpreter))
    return machine.path(place)


def is_closed(url):
    try:
        with urllib.request.urlopen(url, timeout=5):
            return False
    except OSError:
        return True


@on_windows
def test_a_site_is_served_as_it_is_configured(machine, remote, tmp_path):
    port, place = free_port(), make_site(machine, tmp_path)
    url = f"http://127.0.0.1:{port}/a"
    fastcgi = f'{APPCMD} set config /section:system.webServer/fastCgi "/+[{{}}'
    application = f"fullPath='{machine.interpreter}',arguments='wfastcgi.py'"
    remote.ok(fastcgi.format(f"{application},signalBeforeTerminateSeconds='30']\" /commit:apphost"))
    remote.ok(fastcgi.format(f"{application}].environmentVariables.[name='RoleName',value='web']\" /commit:apphost"))
    remote.ok(
        f"{APPCMD} add apppool /name:shop & {APPCMD} add site /name:shop /bindings:http/*:{port}: /physicalPath:{place}"
    )
    remote.ok(f'{APPCMD} set app "shop/" /applicationPool:shop')
    assert until(lambda: not is_closed(url))
    assert get(url) == b"win32 hello web /a"
    assert f"(id:2,bindings:http/*:{port}:,state:Started)" in remote.ok(f"{APPCMD} list site shop")
    remote.ok(f"{APPCMD} stop apppool /apppool.name:shop")
    assert is_closed(url)
    remote.ok(f"{APPCMD} start apppool /apppool.name:shop")
    assert until(lambda: not is_closed(url))
    remote.ok(f"{APPCMD} delete site shop")
    assert is_closed(url)
    assert remote.run(f"{APPCMD} list site shop")[2] == 1
    assert list(machine.sites()) == ["Default Web Site"]


@on_windows
def test_machines_of_one_installation_keep_apart(installation, tmp_path):
    made = [Machine(installation, tmp_path / address, address) for address in ("127.0.0.2", "127.0.0.3")]
    for number, one in enumerate(made):
        with one.winrm() as host, closing(Client(host)) as there:
            assert host.url.startswith(f"http://{one.address}:")
            there.ok(f'netsh advfirewall firewall add rule name="shop {number}" dir=in action=allow')
            there.ok(r"echo x>%ProgramData%\mine.txt")
            assert there.run("dir %ProgramData%")[0].count(b"mine.txt") == 1
    assert [one.rules for one in made] == [[{"name": f"shop {n}", "dir": "in", "action": "allow"}] for n in range(2)]
    assert [len(one.calls()) for one in made] == [1, 1]


@on_windows
def test_what_is_no_double_is_noted(machine, remote):
    remote.ok(r"icacls C:\shop /grant azure:F & dism /Online")
    remote.ok("powershell -NoProfile -EncodedCommand ZQBjAGgAbwAgAGgAaQA=")
    assert machine.calls() == [
        ["icacls", r"C:\shop", "/grant", "azure:F"],
        ["dism", "/Online"],
        ["powershell", "-NoProfile", "-EncodedCommand", "ZQBjAGgAbwAgAGgAaQA="],
        ["script", "echo hi"],
    ]
    assert remote.run("powershell -NoProfile -File other.ps1")[2] == 1


@on_windows
def test_a_worker_is_launched_by_its_scripts(machine, shop, tmp_path):
    approot = shop / "roles" / "jobs"
    (approot / "code.py").write_text("import sys; print(sys.argv[1:]); sys.exit(9)")
    environ = {"PYTHON": machine.interpreter, "DiagnosticStore": machine.path(tmp_path / "store")}
    with machine.winrm() as host, closing(Client(host, env_vars=environ)) as there:
        line = rf'{machine.path(approot)}\bin\ps.cmd LaunchWorker.ps1 code.py "two words"'
        assert there.run(line)[2] == 9
    assert "['two words']" in (tmp_path / "store/LogFiles/LaunchWorker.ps1.log").read_text()
