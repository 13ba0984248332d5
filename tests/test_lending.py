"""Connections that are lent to a process: whatever happens, each client gets the answers to what it has asked."""

import contextlib
import itertools
import os
import random
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import LIMIT, until
from hosted import Answer, Hosted, config, hosted, lay, limits
from test_bad_clients import opened, processes, read_answer

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="nothing is lent on this system")
SEED = os.environ.get("ROLEPACK_FUZZ_SEED", "1")
APP = """
import ctypes, os, socket, threading, time

VERSION = "1"
LOCK = threading.Lock()

def app(environ, start):
    assert LOCK.acquire(blocking=False), "two requests at a time"
    try:
        return answer(environ, start)
    finally:
        LOCK.release()

def answer(environ, start):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    kind = path.rpartition("/")[2]
    told = f"{environ['REQUEST_METHOD']} {path}?{query} {environ['REMOTE_PORT']} "
    told += f"{len(environ['wsgi.input'].read())} {os.getpid()} {VERSION}"
    body = told.encode()
    headers = [("X-Told", told)]
    if kind == "slow":
        time.sleep(float(query))
    elif kind == "exit":
        os._exit(9)
    elif kind == "crash":
        ctypes.string_at(0)
    elif kind == "hang":
        time.sleep(3600)
    elif kind == "error":
        raise ValueError(f"wrong: {told}")
    elif kind == "fork":
        if not os.fork():
            time.sleep(3600)
    elif kind == "empty":
        start("204 No Content", headers)
        return []
    elif kind == "nameless":
        start("200", headers)
        return [body]
    elif kind == "large":
        start("200 OK", headers)
        return [body * (1_000_000 // len(body))]
    elif kind == "broad":
        start("200 OK", headers)
        return [body * (200_000 // len(body))]
    elif kind == "pieces":
        start("200 OK", headers)
        return (body for _ in range(3))
    elif kind == "written":
        start("200 OK", headers)(body)
        return [body]
    elif kind == "kept":
        write = start("200 OK", headers)
        threading.Timer(0.05, write, [b"GET late"]).start()
        return [body]
    elif kind == "two":
        start("200 OK", headers)
        return [body, body]
    elif kind == "ends-badly":
        start("200 OK", headers)
        return Bad(body)
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), *headers])
    return [body]

class Bad:
    def __init__(self, body):
        self.body = body
    def __iter__(self):
        yield self.body
    def close(self):
        raise ValueError("wrong: " + self.body.decode())
"""
TIMES = {"large": 1_000_000, "broad": 200_000}


class Client:
    """Somebody who keeps a connection."""

    def __init__(self, site: Hosted) -> None:
        self._site = site
        self.connect()

    def connect(self) -> None:
        self.connection = self._site.connect()
        self.port = self.connection.getsockname()[1]
        self._stream = self.connection.makefile("rb")

    def say(self, path: str, method: str = "GET", body: str = "", more: str = "") -> None:
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self.connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{more}{length}\r\n{body}".encode())

    def hear(self, path: str, method: str = "GET", body: str = "") -> Answer:
        """The answer, which must be the one to what was asked on this connection."""
        if not self._stream.peek(1):
            raise EOFError
        answer = read_answer(self._stream, method)
        told = f"{method} {path if '?' in path else path + '?'} {self.port} {len(body)} "
        if answer.status in {200, 204}:
            assert answer.headers["X-Told"].startswith(told)
            whole = answer.headers["X-Told"].encode()
            if answer.body:
                assert answer.body == whole * (len(answer.body) // len(whole))
        elif "wrong: " in answer.text:
            assert f"wrong: {told}" in answer.text
        else:
            assert "FastCGI process" in answer.text
        return answer

    def ask(self, path: str, method: str = "GET", body: str = "") -> Answer:
        self.say(path, method, body)
        return self.hear(path, method, body)

    def ask_again(self, path: str) -> None:
        """Ask as browsers do, which ask once more if their connection has ended."""
        try:
            self.ask(path)
        except (OSError, EOFError):
            self.close()
            self.connect()

    def warm(self, *paths: str) -> int:
        """Ask until the connection must be lent; the process that has answered last."""
        for path in (paths or ("/a",)) * 80:
            answer = self.ask(path)
            assert answer.status == 200
        return process_of(answer)

    def is_quiet(self) -> bool:
        """Whether nothing more has come than was asked for."""
        self.connection.settimeout(0)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            return not self._stream.peek(1)
        return True

    def close(self) -> None:
        self._stream.close()
        self.connection.close()


def process_of(answer: Answer) -> int:
    return int(answer.headers["X-Told"].split(" ")[-2])


def lent_to(process: int) -> int:
    """How many connections a process has, besides the one to the front end."""
    files = Path(f"/proc/{process}/fd")
    found = 0
    for file in files.iterdir():
        with contextlib.suppress(OSError):
            found += file.readlink().name.startswith("socket:")
    return found - 1


@contextmanager
def site_of(folder: Path, server: str = "", settings: str = "", **options: object) -> Iterator[Hosted]:
    files = {"app.py": APP, "web.config": config(server=server, settings=settings)}
    with hosted(lay(folder / "site", files), **options) as made:
        yield made
        assert not re.search(r'File ".*emulator.hosts.(?!wsgi)', made.output)


@pytest.fixture
def site(tmp_path, request):
    with site_of(tmp_path, limits(**getattr(request, "param", {}))) as made:
        yield made


@pytest.fixture
def client(site):
    made = Client(site)
    yield made
    made.close()


class Others:
    """Clients who ask all the time, each as `asked` says; a fault of one of them is a fault of the test."""

    def __init__(self, site: Hosted, count: int, asked: Callable[[Client, int], None]) -> None:
        self.counts = [0] * count
        self._wrong: list[BaseException] = []
        self._done = threading.Event()
        self._site, self._asked = site, asked
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(count)]

    def __enter__(self) -> "Others":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()
        assert not self._wrong, self._wrong

    def go_on(self, times: int) -> None:
        """Wait until each has asked so many times more."""
        before = list(self.counts)

        def have_asked() -> bool:
            assert not self._wrong, self._wrong
            return all(now - then >= times for now, then in zip(self.counts, before, strict=True))

        until(have_asked)

    def _run(self, number: int) -> None:
        client = Client(self._site)
        try:
            while not self._done.is_set():
                self._asked(client, number)
                self.counts[number] += 1
            assert client.is_quiet()
        except Exception as error:
            self._wrong.append(error)
        finally:
            client.close()


def simply(client: Client, number: int) -> None:
    """Ask for something that is simply answered."""
    assert client.ask(f"/{number}").status == 200


def test_a_connection_on_which_much_is_asked_is_lent_and_answered_as_before(site, client):
    first = client.ask("/a")
    process = client.warm()
    until(lambda: client.ask("/a").status == 200 and lent_to(process) == 1)
    last = client.ask("/a")
    names = [name for name, _ in first.headers.items()]
    assert [name for name, _ in last.headers.items()] == names
    assert {**dict(last.headers), "Date": ""} == {**dict(first.headers), "Date": ""}
    assert last.body == first.body


def test_what_is_answered_on_a_lent_connection_is_in_the_log(site, client):
    paths = [f"/{number}" for number in range(5)]
    client.warm(*paths)
    log = site.logs / "W3SVC1"

    def counted() -> dict[str, int]:
        text = "".join(file.read_text() for file in log.iterdir())
        return {path: len(re.findall(rf" GET {path} - \d+ 127\.0\.0\.1 - 200 \d+ \d+\n", text)) for path in paths}

    until(lambda: counted() == dict.fromkeys(paths, 80))


def test_a_connection_goes_back_with_what_was_not_shown(site, client):
    process = client.warm()
    for number in range(20):
        client.warm(f"/{number}")
        assert client.ask("/a", "POST", "hello").status == 200
        assert client.ask("/a", "HEAD").body == b""
        assert client.ask(f"/other/{number}").status == 200
    assert lent_to(process) <= 1


def test_requests_in_parts_and_several_at_once_are_answered_in_turn(site, client):
    for number in range(30):
        client.warm()
        if number % 3 == 0:
            client.connection.sendall(b"GET /a HT")
            client.connection.sendall(b"TP/1.1\r\nHost: x\r\n\r\n")
            client.hear("/a")
        else:
            paths = ["/a", "/b", "/a", "/a"][: number % 3 + 2]
            asked = "".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n" for path in paths)
            client.connection.sendall(asked.encode())
            for path in paths:
                client.hear(path)


def test_a_client_that_ends_leaves_nothing_behind(site):
    def come_and_go() -> None:
        clients = [Client(site) for _ in range(4)]
        answered = {client.warm() for client in clients}
        for client in clients:
            client.close()
        until(lambda: not any(lent_to(process) for process in answered))

    for _ in range(3):
        come_and_go()
    there = opened(site)
    for _ in range(10):
        come_and_go()
    until(lambda: opened(site) <= there)


def test_clients_are_told_apart(site):
    def asked(client, number):
        for path in (f"/{number}/a", "/same", f"/{number}/b?q=1", "/same?q=2"):
            assert client.ask(path).status == 200

    with Others(site, 8, asked) as others:
        others.go_on(200)


def test_answers_of_every_kind(site):
    kinds = [
        "a",
        "kept",
        "error",
        "empty",
        "nameless",
        "large",
        "broad",
        "pieces",
        "written",
        "two",
        "ends-badly",
        "b",
        "c",
    ]
    chance = random.Random(SEED)  # noqa: S311 - not for secrets

    def asked(client, number):
        kind = chance.choice(kinds)
        for _ in range(chance.choice([1, 40])):
            answer = client.ask(f"/{number}/{kind}")
            assert answer.status == {"error": 500, "ends-badly": 500, "empty": 204}.get(kind, 200)
            assert len(answer.body) >= 0.99 * TIMES.get(kind, 0)
            times = {"a": 1, "kept": 1, "nameless": 1, "pieces": 3, "written": 2, "two": 2}.get(kind)
            assert times is None or answer.body.count(b"GET") == times

    print(f"ROLEPACK_FUZZ_SEED={SEED}")
    with Others(site, 6, asked) as others:
        others.go_on(40)


def test_other_words_between(site):
    chance = random.Random(SEED)  # noqa: S311 - not for secrets

    def asked(client, number):
        for _ in range(chance.choice([0, 40])):
            client.ask(f"/{number}")
        kind = chance.randrange(6)
        if kind == 0:
            client.ask("/a", "POST", "b" * chance.choice([1, 5000, 200_000]))
        elif kind == 1:
            client.ask("/a", "HEAD")
        elif kind == 2:
            client.say(f"/{number}")
            client.say(f"/{number}/b")
            client.hear(f"/{number}")
            client.hear(f"/{number}/b")
        elif kind == 3:
            client.say(f"/{number}", body="hello")
            client.hear(f"/{number}", body="hello")
        elif kind == 4:
            client.say(f"/{number}/b", more=f"X: {chance.random()}\r\n")
            client.hear(f"/{number}/b")
        else:
            client.connection.sendall(b"GET /a HTTP/1.1\r\nHo")
            client.connection.sendall(b"st: x\r\n\r\n")
            client.hear("/a")

    print(f"ROLEPACK_FUZZ_SEED={SEED}")
    with Others(site, 6, asked) as others:
        others.go_on(60)


@pytest.mark.parametrize("site", [{"maxInstances": 3}], indirect=True)
def test_nobody_waits_behind_requests_that_take_long(site):
    worst = [0.0]

    def asked(client, number):
        began = time.monotonic()
        simply(client, number)
        worst[0] = max(worst[0], time.monotonic() - began)

    with Others(site, 6, asked) as others:
        others.go_on(100)
        slow = [Client(site) for _ in range(2)]
        for client in slow:
            client.warm("/slow?0.0")
        worst[0] = 0.0
        for client in slow:
            client.say("/slow?1.5")
        for client in slow:
            assert client.hear("/slow?1.5").status == 200
            client.close()
        assert worst[0] < 0.5


def test_a_request_that_was_quick_may_take_long(tmp_path):
    app = APP.replace("time.sleep(float(query))", "time.sleep(float(open('seconds').read()))")
    with site_of(tmp_path) as site:
        (site.folder / "app.py").write_text(app)
        (site.folder / "seconds").write_text("0")
        clients = [Client(site) for _ in range(6)]
        for client in clients:
            client.warm("/slow", "/a")
        (site.folder / "seconds").write_text("1.5")
        clients[0].say("/slow")
        began = time.monotonic()
        while time.monotonic() - began < 1.2:
            for client in clients[1:]:
                asked = time.monotonic()
                assert client.ask("/a").status == 200
                assert time.monotonic() - asked < 0.5
        assert clients[0].hear("/slow").status == 200
        assert time.monotonic() - began > 1.4
        for client in clients:
            client.close()


@pytest.mark.parametrize(("kind", "how"), [("exit", "exit code 9"), ("crash", "SIGSEGV")])
def test_a_process_that_dies_on_a_lent_connection_costs_that_request_alone(tmp_path, kind, how):
    app = APP.replace(f'elif kind == "{kind}":', f'elif kind == "{kind}" and os.path.exists("now"):')
    with site_of(tmp_path) as site:
        (site.folder / "app.py").write_text(app)

        with Others(site, 6, simply) as others:
            client = Client(site)
            client.warm(f"/{kind}")
            (site.folder / "now").touch()
            answer = client.ask(f"/{kind}")
            assert (answer.status, how in answer.text) == (500, True)
            (site.folder / "now").unlink()
            assert client.ask(f"/{kind}").status == 200
            others.go_on(100)
            client.close()
        assert f"GET /{kind}: The FastCGI process exited unexpectedly" in site.output


@pytest.mark.parametrize("site", [{"activityTimeout": 1}], indirect=True)
def test_a_request_that_hangs_on_a_lent_connection_is_ended(site):
    with Others(site, 4, simply) as others:
        others.go_on(100)
        client = Client(site)
        client.warm()
        answer = client.ask("/hang")
        assert (answer.status, "activityTimeout" in answer.text) == (500, True)
        assert client.ask("/a").status == 200
        client.close()


@pytest.mark.parametrize("site", [{"activityTimeout": 2}], indirect=True)
def test_a_process_that_is_stopped_has_its_connections_taken_back(site):
    clients = [Client(site) for _ in range(4)]
    processes = [client.warm() for client in clients]
    until(lambda: Path(f"/proc/{processes[0]}/stat").read_text().split()[2] == "S")  # and not in the midst of something
    os.kill(processes[0], signal.SIGSTOP)
    began = time.monotonic()
    for client in clients:
        client.say("/a")
    statuses = [client.hear("/a").status for client in clients]
    assert set(statuses) <= {200, 500}
    assert statuses.count(500) <= 1
    assert time.monotonic() - began < 8
    for client in clients:
        assert client.warm() != processes[0]
        client.close()


@pytest.mark.parametrize("site", [{"instanceMaxRequests": 600}], indirect=True)
def test_processes_are_recycled_in_time_and_nothing_is_lost(site):
    served: dict[int, int] = {}
    lock = threading.Lock()

    def asked(client, number):
        answer = client.ask(f"/{number}")
        assert answer.status == 200
        with lock:
            process = process_of(answer)
            served[process] = served.get(process, 0) + 1

    with Others(site, 6, asked):
        until(lambda: len(served) > 12)
    assert max(served.values()) <= 600 + 6


def test_changed_sources_are_soon_found_however_much_is_asked(site):
    versions = set()

    def asked(client, number):
        answer = client.ask(f"/{number}")
        assert answer.status == 200
        versions.add(answer.text.split(" ")[-1])

    with Others(site, 4, asked) as others:
        others.go_on(100)

        def is_alone(version: str) -> bool:
            others.go_on(2)  # what was asked before is answered
            versions.clear()
            others.go_on(2)
            return versions == {version}

        for version in ("22", "333"):  # of other lengths: what is compiled is known by that and the second
            (site.folder / "app.py").write_text(APP.replace('VERSION = "1"', f'VERSION = "{version}"'))
            until(lambda version=version: is_alone(version), 10)
            assert is_alone(version)


def test_a_changed_web_config_is_soon_found_however_much_is_asked(tmp_path):
    with (
        site_of(tmp_path, settings='<add key="WSGI_RESTART_FILE_REGEX" value="" />') as site,
        Others(site, 4, simply) as others,
    ):
        others.go_on(100)
        client = Client(site)
        client.warm()
        path = site.folder / "web.config"
        path.write_text(path.read_text().replace("<system.webServer>", f"<system.webServer>{ADDED}"))
        until(lambda: client.ask("/a").headers["X-Added"] == "yes")
        client.warm()
        assert client.ask("/a").headers["X-Added"] == "yes"
        client.close()


ADDED = '<httpProtocol><customHeaders><add name="X-Added" value="yes" /></customHeaders></httpProtocol>'


def test_a_rule_that_looks_at_files_or_clients_is_asked_each_time(tmp_path):
    rules = (
        '<rewrite><rules><rule name="f"><match url="^file$" /><conditions>'
        '<add input="{REQUEST_FILENAME}" matchType="IsFile" /></conditions>'
        '<action type="CustomResponse" statusCode="403" statusReason="No" statusDescription="FastCGI process" /></rule>'
        '<rule name="p"><match url="^port$" /><conditions><add input="{REMOTE_PORT}" pattern="THAT" /></conditions>'
        '<action type="CustomResponse" statusCode="403" statusReason="No" statusDescription="FastCGI process" /></rule>'
        "</rules></rewrite>"
    )
    with site_of(tmp_path, rules) as site:
        one = Client(site)
        other = Client(site)
        path = site.folder / "web.config"
        path.write_text(path.read_text().replace("THAT", str(other.port)))
        until(lambda: other.ask("/port").status == 403)
        one.warm("/port", "/file")
        assert other.ask("/port").status == 403
        (site.folder / "file").write_text("")
        assert one.ask("/file").status == 403
        one.close()
        other.close()


def test_what_a_rule_says_of_the_connection_is_said_each_time(tmp_path):
    rules = (
        '<rewrite><allowedServerVariables><add name="SERVER_PORT" /></allowedServerVariables><rules><rule name="p">'
        '<match url="^port$" /><serverVariables><set name="SERVER_PORT" value="99" /></serverVariables>'
        '<action type="None" /></rule></rules></rewrite>'
    )
    with site_of(tmp_path, rules) as site:
        (site.folder / "app.py").write_text(APP.replace("{VERSION}", "{environ['SERVER_PORT']}"))
        client = Client(site)
        for path, port in [("/port", "99"), ("/other", str(site.port)), ("/port", "99")]:
            client.warm(path)
            assert client.ask(path).text.split(" ")[-1] == port
        client.close()


def test_connections_are_spread_over_the_processes(site):
    processes: set[int] = set()

    def asked(client, number):
        processes.add(process_of(client.ask("/a")))

    with Others(site, 6, asked) as others:
        others.go_on(200)
        until(lambda: len(processes) == 2 and all(lent_to(process) >= 2 for process in processes))


def test_a_forked_child_keeps_no_client_waiting(site, client):
    process = client.warm()
    assert client.ask("/fork").status == 200
    client.warm("/fork-not")
    client.connection.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    client.hear("/a")
    client.connection.settimeout(LIMIT)
    assert client.connection.recv(1) == b""
    for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)


def test_a_process_that_may_open_no_more_files_has_none_lent(tmp_path):
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (10, 10))\n"
    with site_of(tmp_path) as site:
        (site.folder / "app.py").write_text(limit + APP)
        with Others(site, 12, simply) as others:
            others.go_on(200)


def test_a_system_that_has_not_what_lending_needs_serves_without(tmp_path):
    refusing = "import os\ndef refuse(*_): raise PermissionError\nos.memfd_create = refuse\n"
    lay(tmp_path / "patch", {"sitecustomize.py": refusing})
    files = {"app.py": APP, "web.config": config()}
    with hosted(lay(tmp_path / "site", files), {"PYTHONPATH": str(tmp_path / "patch")}) as site:
        client = Client(site)
        assert lent_to(client.warm()) == 0
        client.close()


@pytest.mark.parametrize("patch", ["socket.setdefaulttimeout(0.01)", "socket.socket = None", "select.epoll = None"])
def test_an_application_may_change_what_it_imports(tmp_path, patch):
    with site_of(tmp_path) as site:
        (site.folder / "app.py").write_text(f"import select, socket\n{patch}\n{APP}")
        with Others(site, 4, simply) as others:
            others.go_on(200)


def test_a_site_that_leaves_loses_no_request_of_those_who_ask_a_lot(site):
    answered = [0] * 6
    ended: list[object] = []

    def run(number: int) -> None:
        client = Client(site)
        try:
            while True:
                answer = client.ask(f"/{number}")
                answered[number] += 1
                if answer.headers["Connection"] == "close":
                    ended.append(answer.status)
                    return
        except (AssertionError, EOFError, OSError) as error:
            ended.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    until(lambda: min(answered) > 200)
    site.process.terminate()
    for thread in threads:
        thread.join()
    assert site.process.wait(20) == 0
    assert ended == [200] * 6


def test_a_slow_reader_gets_answers_whole(site):
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", site.port))
        connection.settimeout(LIMIT)
        stream = connection.makefile("rb")
        for number in range(200):
            connection.sendall(b"GET /broad HTTP/1.1\r\nHost: x\r\n\r\n")
            if number > 100:
                time.sleep(0.005)
            answer = read_answer(stream)
            whole = answer.headers["X-Told"].encode()
            assert answer.body == whole * (200_000 // len(whole))


def slow_reader(site: Hosted) -> socket.socket:
    """A client to whom little can be sent at once, as over a network."""
    connection = socket.socket()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(LIMIT)
    connection.connect(("127.0.0.1", site.port))
    return connection


@pytest.mark.parametrize("site", [{"maxInstances": 1}], indirect=True)
@pytest.mark.parametrize("times", [1, 60])
def test_a_slow_reader_that_says_no_more_gets_its_answer_whole(site, times):
    client = Client(site)
    client.ask("/broad")
    client.close()
    with slow_reader(site) as connection:
        stream = connection.makefile("rb")
        for _ in range(times):
            connection.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
            process = process_of(read_answer(stream))
        assert lent_to(process) == (times > 1)
        connection.sendall(b"GET /broad HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        until(lambda: not lent_to(process))
        again = time.monotonic() + 0.3
        until(lambda: time.monotonic() > again)  # the end of what the client says has arrived as well
        answer = read_answer(stream)
        whole = answer.headers["X-Told"].encode()
        assert answer.body == whole * (200_000 // len(whole))
        assert stream.read() == b""


@pytest.mark.parametrize("pieces", [84, 86])
def test_a_process_goes_on_after_an_answer_that_was_taken_slowly(tmp_path, pieces):
    streams = """
    elif kind == "stream":
        start("200 OK", headers)
        return (b"x" * 50_000 for _ in range(int(query)))
    elif kind == "two":"""
    with site_of(tmp_path, limits(maxInstances=1)) as site:
        (site.folder / "app.py").write_text(APP.replace('\n    elif kind == "two":', streams))
        with Others(site, 1, simply) as others, slow_reader(site) as connection:
            others.go_on(100)
            connection.sendall(f"GET /stream?{pieces} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            size = 0
            while piece := connection.recv(65536):
                size += len(piece)
            assert size > pieces * 50_000
            began = time.monotonic()
            assert site.ask("/b").status == 200
            assert time.monotonic() - began < 10


@contextmanager
def watching(site: Hosted, path: str) -> Iterator[tuple[Others, dict[int, str | None]]]:
    """Two clients ask for one thing all the time: they, and what they have last seen added."""
    seen: dict[int, str | None] = {}

    def asked(client: Client, number: int) -> None:
        seen[number] = client.ask(path).headers["X-Added"]

    with Others(site, 2, asked) as others:
        others.go_on(200)
        yield others, seen


UNWATCHED = '<add key="WSGI_RESTART_FILE_REGEX" value="" />'


def test_requests_that_waited_while_files_changed_are_not_shown_as_they_were(tmp_path):
    with site_of(tmp_path, settings=UNWATCHED) as site:
        (site.folder / "app.py").write_text(APP.replace("time.sleep(float(query))", "time.sleep(0.001)"))
        with watching(site, "/slow") as (others, seen):
            for number in range(3):
                crowd = [Client(site) for _ in range(600)]
                added = ADDED.replace("yes", str(number))
                (site.folder / "web.new").write_text(config(settings=UNWATCHED, server=added))
                (site.folder / "web.new").replace(site.folder / "web.config")
                for client in crowd:
                    client.say("/slow")
                for client in crowd:
                    client.hear("/slow")
                    client.close()
                until(lambda number=number: set(seen.values()) == {str(number)}, 5)
                others.go_on(300)
                assert set(seen.values()) == {str(number)}


def test_a_change_is_found_however_many_addresses_were_asked_for(tmp_path):
    inner = f"<configuration><system.webServer>{ADDED}</system.webServer></configuration>"
    with site_of(tmp_path, limits(instanceMaxRequests=0), settings=UNWATCHED) as site:
        lay(site.folder, {"sub/web.config": inner})
        with watching(site, "/sub/a") as (others, seen):
            until(lambda: set(seen.values()) == {"yes"})
            other = Client(site)
            for number in range(1100):
                other.ask(f"/{number}")
            other.close()
            began = time.monotonic()
            until(lambda: time.monotonic() > began + 1.5)  # what was seen is looked at again meanwhile
            (site.folder / "sub/web.config").write_text(inner.replace('"yes"', '"again"'))
            until(lambda: set(seen.values()) == {"again"}, 10)
            others.go_on(300)
            assert set(seen.values()) == {"again"}


@pytest.mark.parametrize("site", [{"instanceMaxRequests": 100}], indirect=True)
def test_processes_that_were_lent_connections_leave_no_file_behind(site):
    answered: set[int] = set()
    with Others(site, 3, lambda client, number: answered.add(process_of(client.ask(f"/{number}")))):
        until(lambda: len(answered) > 25)
    until(lambda: opened(site) < 30)
    maps = Path(f"/proc/{site.process.pid}/maps")
    until(lambda: maps.read_text().count("rolepack-loans") <= 4)


def test_clients_of_a_front_end_that_is_killed_are_not_kept_waiting(tmp_path):
    stays = "import threading, time\nthreading.Thread(target=time.sleep, args=(10,)).start()\n"
    with site_of(tmp_path, limits(maxInstances=1)) as site:
        (site.folder / "app.py").write_text(stays + APP)
        client = Client(site)
        client.warm()
        site.process.kill()
        began = time.monotonic()
        with contextlib.suppress(OSError, EOFError):
            while True:
                client.ask("/a")
        assert time.monotonic() - began < 5
        client.close()


def test_a_thread_of_the_application_that_lets_nothing_else_run_costs_no_request(tmp_path):
    greedy = """
import threading, time

def hog():
    while True:
        sum(range(6_000_000))  # one call that keeps the interpreter's lock
        time.sleep(0.1)

threading.Thread(target=hog, daemon=True).start()
"""
    with site_of(tmp_path, limits(maxInstances=1)) as site, Others(site, 3, simply) as others:
        others.go_on(50)
        for number in range(4):
            (site.folder / "app.new").write_text(f"{greedy}{APP}\n# {'x' * number}\n")
            (site.folder / "app.new").replace(site.folder / "app.py")
            others.go_on(150)


@pytest.mark.parametrize("site", [{"maxInstances": 1, "activityTimeout": 2}], indirect=True)
def test_a_process_that_is_stopped_whatever_it_does_is_ended(site):
    with Others(site, 1, lambda client, _: client.ask_again("/a")) as others:
        others.go_on(200)
        for _ in range(3):
            (there,) = processes(site)
            os.kill(int(there), signal.SIGSTOP)
            others.go_on(50)


def storm(site: Hosted, seconds: float) -> None:
    """Kill processes from outside, and change files, while clients ask: they get their answers, or none at all."""
    chance = random.Random(SEED)  # noqa: S311 - not for secrets
    lost = itertools.count()

    def asked(client: Client, number: int) -> None:
        kind = chance.choice(["a", "b", "pieces", "error", "large", "slow?0.02"])
        for _ in range(chance.choice([1, 50])):
            try:
                answer = client.ask(f"/{number}/{kind}")
            except (OSError, EOFError):  # its process was killed in the midst of the answer
                next(lost)
                client.close()
                client.connect()
                return
            assert answer.status in {200, 500}

    with Others(site, 8, asked):
        end = time.monotonic() + seconds
        killed = 0
        while time.monotonic() < end:
            time.sleep(chance.uniform(0.05, 0.3))
            there = sorted(processes(site))
            action = chance.randrange(4)
            if action == 0 and there:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(chance.choice(there)), signal.SIGKILL)
                killed += 1
            elif action == 1:
                (site.folder / "app.new").write_text(APP + f"\n# {chance.random()}\n")
                (site.folder / "app.new").replace(site.folder / "app.py")
            elif action == 2 and there:
                with contextlib.suppress(ProcessLookupError):
                    process = int(chance.choice(there))
                    os.kill(process, signal.SIGSTOP)
                    time.sleep(0.05)
                    os.kill(process, signal.SIGCONT)
    assert next(lost) <= killed * 2


def test_kills_and_changes(site):
    print(f"ROLEPACK_FUZZ_SEED={SEED}")
    storm(site, 6)


@pytest.mark.long
def test_many_kills_and_changes(site):
    print(f"ROLEPACK_FUZZ_SEED={SEED}")
    storm(site, 60)
