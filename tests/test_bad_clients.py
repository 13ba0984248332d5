"""Clients that are slow, broken, hostile or gone: each gets what is due to it, and no other client notices.

Every mutated request is made from a seed (ROLEPACK_FUZZ_SEED, or 1) and its number alone.
"""

import contextlib
import hashlib
import http.client
import json
import os
import random
import re
import resource
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from conftest import until
from hosted import Answer, Hosted, certified, config, hosted, lay

from emulator.hosts.loop import Timer
from emulator.hosts.requestlog import RequestLog

SEED = os.environ.get("ROLEPACK_FUZZ_SEED", "1")
SHARE, WHOLE, CHUNK = 400, 20_000, 2_000
MB = 1_000_000
PATIENCE = 5.0
MEMORY = 60 * MB
"""Bytes by which the front end may grow, whatever goes through it."""
LIMIT = 30_000_000
APP = """
import hashlib, json, time

def app(environ, start):
    path, body = environ["PATH_INFO"], environ["wsgi.input"]
    if path.endswith("/stream"):
        start("200 OK", [])
        pieces = (bytes([number % 251]) * 65536 for number in range(int(environ["QUERY_STRING"])))
        return [b"".join(pieces)] if path.endswith("/at-once/stream") else pieces
    if path.endswith("/hash"):
        digest, size = hashlib.sha256(), 0
        while piece := body.read(1 << 20):
            digest.update(piece)
            size += len(piece)
        answer = f"{size} {digest.hexdigest()}"
    elif path == "/told":
        told = {name: value for name, value in environ.items() if name.isupper()}
        answer = json.dumps({**told, "body": body.read().decode("latin-1")})
    else:
        if path == "/brief":
            time.sleep(0.05)
        answer = f"{path} {len(body.read())}"
    start("200 OK", [("Content-Type", "text/plain")])
    return [answer.encode("latin-1")]
"""
ROOT_CONFIG = config().replace(
    "</configuration>",
    '<location path="large"><system.webServer><security><requestFiltering>'
    '<requestLimits maxAllowedContentLength="200000000" />'
    "</requestFiltering></security></system.webServer></location></configuration>",
)
STATIC_CONFIG = config(server='<handlers><remove name="Python_via_FastCGI" /></handlers>')
FILES = {"app.py": APP, "web.config": ROOT_CONFIG, "static/web.config": STATIC_CONFIG, "static/a.css": "a {}"}
CLOSE = b"Host: x\r\nConnection: close\r\n"
on_linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")


def shown(value: object) -> str:
    """What a test is called after, however long it is."""
    return ascii(value)[:60]


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Hosted]:
    with hosted(lay(folder / "site", FILES)) as site:
        assert site.get("/first") == "/first 0"
        yield site


def other_site(folder: Path, **files: str) -> contextlib.AbstractContextManager[Hosted]:
    """A site whose web.config has other sections in system.webServer, or other files (`_` stands for a dot)."""
    there = {name.replace("_", "."): content for name, content in files.items()}
    return hosted(lay(folder / "site", {"app.py": APP, "static/a.css": "a {}", "web.config": config(), **there}))


@contextlib.contextmanager
def unharmed(site: Hosted) -> Iterator[None]:
    """Somebody else asks all the time, and is answered as usual."""
    before = len(site.output)
    done = threading.Event()
    wrong: list[str] = []
    taken: list[float] = []

    def ask() -> None:
        while not done.wait(0.02):
            began = time.monotonic()
            try:
                answer = site.ask("/other").text
            except OSError as error:
                answer = repr(error)
            taken.append(time.monotonic() - began)
            if answer != "/other 0":
                wrong.append(answer)

    other = threading.Thread(target=ask)
    other.start()
    try:
        yield
        until(lambda: taken)
    finally:
        done.set()
        other.join()
    assert not wrong
    assert max(taken) < PATIENCE
    assert site.get("/after") == "/after 0"
    until(lambda: not scratch(site))
    assert "Traceback" not in site.output[before:]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with served(tmp_path_factory.mktemp("clients")) as made:
        yield made


@pytest.fixture
def site(shared):
    with unharmed(shared):
        yield shared


@pytest.fixture
def fresh(tmp_path):
    """A site of the test's own, whose memory is that of no other test."""
    with served(tmp_path) as made, unharmed(made):
        yield made


def scratch(site: Hosted) -> list[str]:
    return os.listdir(site.logs / "scratch")


def peak(site: Hosted) -> int:
    """The most bytes that the front end has had in memory."""
    told = Path(f"/proc/{site.process.pid}/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", told)[1])


def opened(site: Hosted) -> int:
    return len(os.listdir(f"/proc/{site.process.pid}/fd"))


def processes(site: Hosted) -> set[str]:
    number = site.process.pid
    return set(Path(f"/proc/{number}/task/{number}/children").read_text().split())


def read_answer(stream: BinaryIO, method: str = "GET") -> Answer:
    """The next answer on a connection, with what frames it."""
    line = stream.readline()
    match = re.fullmatch(rb"HTTP/1\.1 (\d{3}) ([^\r\n]*)\r\n", line)
    assert match, line
    headers = http.client.parse_headers(stream)
    body = b""
    if headers.get("Transfer-Encoding") == "chunked":
        while size := int(stream.readline(), 16):
            body += stream.read(size)
            assert stream.readline() == b"\r\n"
        assert stream.readline() == b"\r\n"
    elif "Content-Length" not in headers:
        body = b"" if match[1] in {b"204", b"304"} else stream.read()
    elif method != "HEAD":
        body = stream.read(int(headers["Content-Length"]))
    return Answer(int(match[1]), match[2].decode(), headers, body)


def read_all(connection: socket.socket) -> bytes:
    """What comes until the end, however the server ends it; only that it does not is a fault."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            found += piece
    return found


def reset(connection: socket.socket) -> None:
    """Vanish without a farewell."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def say_and_end(site: Hosted, data: bytes) -> bytes:
    """What comes back for some bytes after which the client says no more."""
    with site.connect() as connection:
        connection.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        return read_all(connection)


def only(answer: bytes) -> int:
    """The status of an answer that comes alone and says that it is the last."""
    assert answer.count(b"HTTP/1.1 ") == 1, answer
    head, _, _ = answer.partition(b"\r\n\r\n")
    assert b"\r\nConnection: close" in head
    return int(answer[9:12])


# Slow clients


@pytest.mark.parametrize(
    ("half", "rest", "found"),
    [
        (b"GET /half HTTP/1.1\r\nHost: x\r\nUser-A", b"gent: y\r\n\r\n", b"/half 0"),
        (b"POST /half HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + b"a" * 50, b"b" * 50, b"/half 100"),
        (
            b"POST /half HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            b"cde\r\n0\r\n\r\n",
            b"/half 5",
        ),
    ],
    ids=["head", "body", "chunk"],
)
def test_two_hundred_clients_that_stop_halfway_keep_nobody_waiting(site, half, rest, found):
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(site.connect()) for _ in range(200)]
        for one in slow:
            one.sendall(half)
        for number in range(100):
            began = time.monotonic()
            assert site.get(f"/{number}") == f"/{number} 0"
            assert time.monotonic() - began < PATIENCE
        for one in slow:
            one.sendall(rest)
        for one in slow:
            assert read_answer(one.makefile("rb")).body == found


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r\n\r\n\r\n"], ids=shown)
def test_a_request_may_come_byte_by_byte_after_empty_lines(site, line_end):
    with site.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asked = line_end + b"POST /drops HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        for byte in asked:
            connection.sendall(bytes([byte]))
        assert read_answer(connection.makefile("rb")).body == b"/drops 3"


@pytest.mark.long
def test_who_stops_halfway_is_told_so_in_time(site):
    with site.connect() as head, site.connect() as body:
        head.sendall(b"GET / HTTP/1.1\r\nHo")
        body.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + b"a" * 50)
        assert only(read_all(body)) == 408
        assert only(read_all(head)) == 408


@on_linux
@pytest.mark.parametrize("framing", [b"Content-Length: 100000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n"])
def test_who_was_refused_and_does_not_go_is_left(site, framing):
    before = opened(site)
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            client = stack.enter_context(site.connect())
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + framing)
            assert only(read_all(client)) in {400, 413}
        until(lambda: opened(site) <= before, 20)


def test_five_hundred_clients_at_a_time_are_all_answered_again_and_again(site):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(site.connect()) for _ in range(500)]
        streams = [stack.enter_context(client.makefile("rb")) for client in clients]
        for _ in range(3):
            for number, client in enumerate(clients):
                client.sendall(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
            for number, stream in enumerate(streams):
                assert read_answer(stream).body == b"/%d 0" % number


@on_linux
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits another process")
def test_a_site_that_may_open_no_more_files_answers_again_once_clients_have_gone(tmp_path):
    with served(tmp_path) as site:
        _, hard = resource.prlimit(site.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(site.process.pid, resource.RLIMIT_NOFILE, (40, hard))
        with contextlib.ExitStack() as stack:
            for _ in range(100):
                stack.enter_context(site.connect())
            until(lambda: opened(site) >= 40)
        assert site.get("/then") == "/then 0"
        assert site.process.poll() is None


@on_linux
@pytest.mark.long
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits another process")
def test_a_site_that_may_open_no_more_files_lets_slow_clients_go(tmp_path):
    with served(tmp_path) as site, contextlib.ExitStack() as stack:
        _, hard = resource.prlimit(site.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(site.process.pid, resource.RLIMIT_NOFILE, (40, hard))
        for _ in range(45):
            stack.enter_context(site.connect()).sendall(b"GET / HT")
        assert site.get("/then") == "/then 0"


@pytest.mark.parametrize(
    "said", [b"GET / HT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"], ids=["head", "body"]
)
def test_a_client_that_stops_halfway_does_not_keep_a_site_from_ending(tmp_path, said):
    with served(tmp_path) as site, site.connect() as connection:
        connection.sendall(said)
        assert site.get("/meanwhile") == "/meanwhile 0"
        site.process.terminate()
        assert site.process.wait(10) == 0


# Too much


@pytest.mark.parametrize("sent", [0, MB, 100 * MB])
@pytest.mark.parametrize("path", [b"/hash", b"/static/a.css"])
def test_a_body_over_the_limit_is_refused_and_the_client_can_read_that(site, sent, path):
    with site.connect() as connection:
        connection.sendall(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n" % path)
        for _ in range(sent // MB):
            connection.sendall(b"a" * MB)
        answer = read_answer(connection.makefile("rb"))
        assert answer.status == 413
        assert answer.headers["Connection"] == "close"
        assert f"more than {LIMIT} bytes" in answer.text


def test_a_body_in_chunks_over_the_limit_is_refused_and_the_client_can_read_that(site):
    with site.connect() as connection:
        connection.sendall(b"POST /hash HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(60):
            connection.sendall(b"%x\r\n%b\r\n" % (MB, b"a" * MB))
        answer = read_answer(connection.makefile("rb"))
        assert answer.status == 413
        assert f"more than {LIMIT} bytes" in answer.text
        assert not scratch(site)


def test_a_body_of_just_the_limit_is_taken(site):
    assert site.ask("/hash", "POST", b"a" * LIMIT).text.startswith(f"{LIMIT} ")
    assert site.ask("/hash", "POST", b"a" * (LIMIT + 1)).status == 413


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n" + CLOSE + b"X: y\r\n" * 1_000_000 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + CLOSE + b"Cookie: " + b"c" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + CLOSE + b"Cookie: " + b"c" * 20 * MB + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + CLOSE + b"".join(b"X-%d: y\r\n" % n for n in range(300)) + b"\r\n", 431),
        (b"GET /" + b"a" * 20 * MB, 414),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + CLOSE + b"\r\n", 414),
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n" + CLOSE + b"\r\n", 404),
        (b"GET /?" + b"a" * 10_000 + b" HTTP/1.1\r\n" + CLOSE + b"\r\n", 404),
        (b"GET / HTTP/1.1\r\n" + CLOSE + b"Cookie: " + b"c" * 60_000 + b"\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\n" + CLOSE + b"".join(b"X-%d: y\r\n" % n for n in range(250)) + b"\r\n", 200),
    ],
    ids=[
        "a million headers",
        "a long header",
        "a header of 20 MB",
        "300 headers",
        "a first line of 20 MB",
        "a long address",
        "an address over the limit of web.config",
        "a query over the limit of web.config",
        "a header that fits",
        "headers that fit",
    ],
)
def test_a_head_may_be_only_so_large(site, request_, status):
    assert only(site.say(request_)) == status


@pytest.mark.parametrize("is_at_once", [True, False])
def test_a_long_first_line_is_one_however_it_comes(site, is_at_once):
    with site.connect() as connection:
        line = b"GET /" + b"a" * 70_000
        connection.sendall(line + b" HTTP/1.1\r\nHost: x\r\n\r\n" if is_at_once else line)
        assert only(read_all(connection)) == 414


def test_a_trailer_may_be_only_so_large(site):
    asked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    assert only(site.say(asked + b"X: y\r\n" * 100_000 + b"\r\n")) == 431
    assert only(site.say(asked + b"X: " + b"y" * 100_000 + b"\r\n\r\n")) == 400


@on_linux
@pytest.mark.parametrize("is_chunked", [False, True], ids=["of a known length", "in chunks"])
def test_a_hundred_megabytes_arrive_whole_where_they_may_and_need_no_memory(fresh, is_chunked):
    before = peak(fresh)
    digest = hashlib.sha256()
    with fresh.connect() as connection:
        framing = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: 100000000"
        connection.sendall(b"PUT /large/hash HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n" % framing)
        block = random.Random(1).randbytes(MB)  # noqa: S311 - not for secrets
        for number in range(100):
            piece = number.to_bytes(4, "big") + block[4:]
            digest.update(piece)
            connection.sendall(b"%x\r\n%b\r\n" % (MB, piece) if is_chunked else piece)
        connection.sendall(b"0\r\n\r\n" if is_chunked else b"")
        answer = read_answer(connection.makefile("rb"))
    assert answer.text == f"{100 * MB} {digest.hexdigest()}"
    assert peak(fresh) - before < MEMORY


@on_linux
@pytest.mark.parametrize("path", ["/large/stream?1600", "/large/at-once/stream?1600", "/static/large.zip"])
def test_a_client_that_reads_slowly_gets_all_and_costs_no_memory(fresh, path):
    with (fresh.folder / "static/large.zip").open("wb") as file:
        file.truncate(1600 * 65536)
    before = peak(fresh)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.connect(("127.0.0.1", fresh.port))
        connection.settimeout(PATIENCE)
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        stream = connection.makefile("rb")
        assert b" 200 " in stream.readline()
        assert "Transfer-Encoding" not in http.client.parse_headers(stream)
        for number in range(1600):
            if not number % 10:
                assert fresh.get("/meanwhile") == "/meanwhile 0"
            found = stream.read(65536)
            assert found == bytes([number % 251 if "stream" in path else 0]) * 65536
        assert not stream.read()
    assert peak(fresh) - before < MEMORY


@on_linux
@pytest.mark.parametrize("path", ["/other", "/static/a.css"])
def test_a_client_that_asks_on_and_on_and_reads_nothing_is_not_listened_to(fresh, path):
    before = peak(fresh)
    asked = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 1000
    with fresh.connect() as connection:
        connection.setblocking(False)
        sent = 0
        while select.select([], [connection], [], 1.0)[1]:
            sent += connection.send(asked)
            assert sent < 64 * MB
    assert peak(fresh) - before < MEMORY


@on_linux
def test_heads_that_never_repeat_are_not_remembered(fresh):
    before = peak(fresh)
    with fresh.connect() as connection:
        stream = connection.makefile("rb")
        for number in range(2000):
            words = b"%05d" % number
            head = b"GET /%b/%b HTTP/1.1\r\nHost: %b\r\nUser-Agent: %b\r\nX: %b\r\n\r\n"
            connection.sendall(head % (words, b"a" * 1500, words * 2000, words * 4000, words * 6000))
            assert read_answer(stream).status == 200
    assert peak(fresh) - before < 12 * MB


def test_what_clients_say_does_not_wait_in_memory(tmp_path):
    """However much comes while the loop does nothing else."""
    log = RequestLog(tmp_path, Timer)
    for number in range(100):
        log.note((("s", "127.0.0.1", 80), "GET", f"/{number}", "127.0.0.1", "a" * 20_000), 200, 1, 0.0)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size > 1_400_000
    log.flush()
    told = file.read_text().splitlines()
    assert [line.split()[4] for line in told if not line.startswith("#")] == [f"/{number}" for number in range(100)]


@pytest.mark.parametrize("length", [200_000, 5_000_000])
def test_a_body_that_cannot_be_kept_is_refused(tmp_path, length):
    with served(tmp_path) as site:
        (site.logs / "scratch").rmdir()
        with site.connect() as connection:
            connection.settimeout(PATIENCE)
            connection.sendall(b"POST /hash HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length + b"a" * length)
            assert only(read_all(connection)) in {500, 503, 507}
        assert site.get("/then") == "/then 0"


def test_a_body_that_comes_late_is_answered_although_the_site_is_broken(tmp_path):
    broken = config(settings='<add key="WSGI_RESTART_FILE_REGEX" value="(" />')
    with other_site(tmp_path, web_config=broken) as site, site.connect() as connection:
        connection.settimeout(PATIENCE)
        connection.sendall(b"POST / HTTP/1.1\r\n" + CLOSE + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        stream = connection.makefile("rb")
        assert stream.readline() + stream.readline() == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hello")
        assert read_answer(stream).status == 500
        assert "Traceback" not in site.output


@pytest.mark.long
def test_patience_with_clients_ends(tmp_path):
    """A head has 30 s, what follows an answer 120 s, an answer of which nothing is taken 60 s."""
    with other_site(tmp_path) as site, contextlib.ExitStack() as stack:
        late, kept, deaf = (stack.enter_context(socket.socket()) for _ in range(3))
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for connection in (late, kept, deaf):
            connection.settimeout(150)
            connection.connect(("127.0.0.1", site.port))
        began = time.monotonic()
        deaf.sendall(b"GET /stream?1600 HTTP/1.1\r\nHost: x\r\n\r\n")
        kept.sendall(b"GET /kept HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(kept.makefile("rb")).text == "/kept 0"
        late.sendall(b"GET / HTTP/1.1\r\n")
        there = opened(site)
        assert only(read_all(late)) == 408
        assert 29 < time.monotonic() - began < 40
        until(lambda: opened(site) <= there - 2)
        assert 59 < time.monotonic() - began < 75
        assert read_all(kept) == b""
        assert 119 < time.monotonic() - began < 130
        assert len(read_all(deaf)) < 1600 * 65536


# Clients that vanish


@on_linux
@pytest.mark.parametrize("way", ["closed", "reset"])
@pytest.mark.parametrize(
    ("said", "files", "read"),
    [
        (b"GET / HTTP/1.1\r\nHo", 0, 0),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n" + b"a" * MB, 1, 0),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1f4240\r\n" + b"a" * MB, 1, 0),
        (b"GET /brief HTTP/1.1\r\nHost: x\r\n\r\n" * 3, 0, 0),
        (b"GET /stream?320 HTTP/1.1\r\nHost: x\r\n\r\n", 0, 1000),
        (b"GET /static/large.zip HTTP/1.1\r\nHost: x\r\n\r\n", 0, 1000),
    ],
    ids=["head", "upload", "upload in chunks", "waiting", "download", "download of a file"],
)
def test_clients_that_vanish_leave_nothing_behind(site, said, files, read, way):
    with (site.folder / "static/large.zip").open("wb") as file:
        file.truncate(20 * MB)
    assert site.get("/") == "/ 0"
    before, there = opened(site), processes(site)
    clients = [site.connect() for _ in range(30)]
    for client in clients:
        client.sendall(said)
    until(lambda: len(scratch(site)) == files * len(clients))
    for client in clients:
        if read:
            assert client.recv(read).startswith(b"HTTP/1.1 200 ")
        if way == "reset":
            reset(client)
        client.close()
    until(lambda: not scratch(site) and opened(site) <= before + len(processes(site) - there))
    assert there <= processes(site)
    assert len(processes(site)) <= 2


@on_linux
@pytest.mark.parametrize(
    "said",
    [
        b"GET /brief HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /brief HTTP/1.1\r\nHost: x\r\n\r\nGET /static/a.css HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /stream?320 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /static/large.zip HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["waiting", "waiting, and more", "download", "download of a file"],
)
def test_clients_that_say_no_more_and_then_vanish_leave_nothing_behind(site, said):
    with (site.folder / "static/large.zip").open("wb") as file:
        file.truncate(20 * MB)
    assert site.get("/") == "/ 0"
    before, there = opened(site), processes(site)
    # One that does not read keeps a process busy, and the other is for who asks meanwhile.
    clients = [site.connect() for _ in range(1 if b"stream" in said else 10)]
    for client in clients:
        client.sendall(said)
        client.shutdown(socket.SHUT_WR)
    assert site.get("/meanwhile") == "/meanwhile 0"
    for client in clients:
        reset(client)
    until(lambda: opened(site) <= before + len(processes(site) - there))
    assert there <= processes(site)


UPLOAD = b"POST /hash HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b"a" * 200_000


@on_linux
def test_an_upload_that_is_reset_while_it_waits_costs_no_process(tmp_path):
    limits = config(server='<fastCgi><application fullPath="python" maxInstances="1" /></fastCgi>')
    slow = APP.replace("time.sleep(0.05)", "time.sleep(1)")
    with other_site(tmp_path, app_py=slow, web_config=limits) as site:
        assert site.get("/first") == "/first 0"
        there = processes(site)
        with site.connect() as busy:
            busy.sendall(b"GET /brief HTTP/1.1\r\nHost: x\r\n\r\n")
            upload = site.connect()
            upload.sendall(UPLOAD)
            until(lambda: scratch(site))
            reset(upload)
            assert read_answer(busy.makefile("rb")).text == "/brief 0"
        assert site.get("/then") == "/then 0"
        assert processes(site) == there
        assert "Traceback" not in site.output


SLOW_SERVER = """
import os, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"whole")

time.sleep(1)
ThreadingHTTPServer(("127.0.0.1", int(os.environ["HTTP_PLATFORM_PORT"])), Handler).serve_forever()
"""


def test_an_upload_that_is_reset_while_a_program_starts_holds_nobody_up(tmp_path):
    server = (
        '<handlers><add name="p" path="*" verb="*" modules="httpPlatformHandler" /></handlers>'
        '<httpPlatform processPath="python" arguments="server.py" />'
    )
    with other_site(tmp_path, server_py=SLOW_SERVER, web_config=config(server=server)) as site:
        upload = site.connect()
        upload.sendall(UPLOAD)
        until(lambda: scratch(site))
        with site.connect() as other:
            other.settimeout(PATIENCE)
            other.sendall(b"GET / HTTP/1.0\r\n\r\n")
            reset(upload)
            assert read_all(other).endswith(b"whole")
        assert "Traceback" not in site.output


@on_linux
def test_clients_of_https_that_vanish_leave_nothing_behind(tmp_path):
    with hosted(lay(tmp_path / "site", FILES), certificate=certified(tmp_path)) as site, unharmed(site):
        before, hello = opened(site), client_hello()
        for number in range(400):
            connection = socket.create_connection(("127.0.0.1", site.secure_port), timeout=PATIENCE)
            connection.sendall([b"", hello, b"GET / HTTP/1.1\r\n\r\n", hello[:50]][number % 4])
            reset(connection)
        # A second process of the application may have been started meanwhile, of which there are a socket and a page.
        until(lambda: opened(site) <= before + 3)


# Many requests on one connection


@pytest.mark.parametrize("path", ["/{}", "/static/a.css?{}"])
def test_five_thousand_requests_at_once_are_answered_in_their_order(site, path):
    count = 5000
    asked = "".join(f"GET {path.format(number)} HTTP/1.1\r\nHost: x\r\n\r\n" for number in range(count))
    with site.connect() as connection:
        sender = threading.Thread(target=connection.sendall, args=(asked.encode(),))
        sender.start()
        stream = connection.makefile("rb")
        for number in range(count):
            wanted = "a {}" if "static" in path else f"/{number} 0"
            assert read_answer(stream).text == wanted
        sender.join()


def test_requests_of_all_kinds_follow_each_other_on_one_connection(site):
    with site.connect() as connection:
        connection.sendall(
            b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n"
            b"POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
            b"\r\nHEAD /static/a.css HTTP/1.1\r\nHost: x\r\n\r\n"
            b"POST /3 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5;name=value\r\nhello\r\nA \r\n0123456789\r\n000\r\nTrailer: one\r\nOther: two\r\n\r\n"
            b"GET /static/no.css HTTP/1.1\r\nHost: x\r\n\r\n"
            b"GET /stream?100 HTTP/1.1\r\nHost: x\r\n\r\n"
            b"GET /4 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            b"GET /5 HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        stream = connection.makefile("rb")
        methods = ["GET", "POST", "HEAD", "POST", "GET", "GET", "GET"]
        answers = [read_answer(stream, method) for method in methods]
        assert [answer.status for answer in answers] == [200, 200, 200, 200, 404, 200, 200]
        assert [answer.text for answer in answers[:4]] == ["/1 0", "/2 3", "", "/3 15"]
        assert len(answers[5].body) == 100 * 65536
        assert answers[6].text == "/4 0"
        assert not stream.read(), "nothing follows the request that is the last"


@pytest.mark.parametrize(
    ("line", "headers", "keeps"),
    [
        (b"HTTP/1.1", b"", True),
        (b"HTTP/1.1", b"Connection: Keep-Alive\r\n", True),
        (b"HTTP/1.1", b"Connection: close\r\n", False),
        (b"HTTP/1.1", b"Connection: x, Close\r\n", False),
        (b"HTTP/1.1", b"Connection: keep-alive\r\nConnection: close\r\n", False),
        (b"HTTP/1.0", b"", False),
        (b"HTTP/1.0", b"Connection: keep-alive\r\n", True),
        (b"HTTP/1.0", b"Connection: keep-alive, close\r\n", False),
    ],
    ids=shown,
)
@pytest.mark.parametrize("path", [b"/told", b"/static/a.css", b"/static/no.css"])
def test_a_connection_lasts_as_long_as_both_want(site, path, line, headers, keeps):
    asked = b"GET %b %b\r\nHost: x\r\n%b\r\n" % (path, line, headers)
    with site.connect() as connection, connection.makefile("rb") as stream:
        for _ in range(2 if keeps else 1):
            connection.sendall(asked)
            answer = read_answer(stream)
            assert answer.status == (404 if path == b"/static/no.css" else 200)
            assert answer.headers["Connection"] == ("close" if not keeps else "keep-alive" if b"1.0" in line else None)
        if not keeps:
            assert not stream.read()


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (b"GET /brief HTTP/1.1\r\nHost: x\r\n\r\n", b"/brief 0"),
        (b"GET /brief HTTP/1.0\r\n\r\n", b"/brief 0"),
        (b"POST /brief HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b"a" * 200_000, b"/brief 200000"),
        (b"GET /static/a.css HTTP/1.1\r\nHost: x\r\n\r\n", b"a {}"),
        (b"GET /stream?1 HTTP/1.1\r\nHost: x\r\n\r\n", bytes(65536)),
    ],
    ids=shown,
)
def test_a_client_that_says_no_more_gets_its_answer(site, asked, found):
    answer = say_and_end(site, asked)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n" + found)


def test_a_client_that_says_no_more_gets_all_its_answers(site):
    asked = b"GET /brief HTTP/1.1\r\nHost: x\r\n\r\n"
    assert say_and_end(site, asked * 3 + asked[:20]).count(b"HTTP/1.1 200 ") == 3


# Bytes with a meaning that is not clear


def framed(*lines: bytes, body: bytes = b"") -> bytes:
    return b"POST /first HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        ([b"Content-Length: 5", CHUNKED], b"0\r\n\r\n"),
        ([CHUNKED, b"Content-Length: 5"], b"0\r\n\r\n"),
        ([b"Content-Length: 0", CHUNKED], b"5\r\nhello\r\n0\r\n\r\n"),
        ([b"Content-Length: 5", b"Content-Length: 0"], b"hello"),
        ([b"Content-Length: 0", b"content-length: 5"], b"hello"),
        ([b"Content-Length: 5, 0"], b"hello"),
        ([b"Content-Length: +5"], b"hello"),
        ([b"Content-Length: -5"], b"hello"),
        ([b"Content-Length: 0x5"], b"hello"),
        ([b"Content-Length: 5.0"], b"hello"),
        ([b"Content-Length: 5_0"], b"hello"),
        ([b"Content-Length: \xb2"], b"hello"),
        ([b"Content-Length: "], b"hello"),
        ([b"Content-Length: 99999999999999999999"], b"hello"),
        ([b"Content-Length : 5"], b"hello"),
        ([b" Content-Length: 5"], b"hello"),
        ([b"X: y", b" Content-Length: 5"], b"hello"),
        ([b"Transfer-Encoding : chunked"], b"0\r\n\r\n"),
        ([b"Transfer-Encoding: \x0bchunked"], b"0\r\n\r\n"),
        ([b"Transfer-Encoding: chunked\0"], b"0\r\n\r\n"),
        ([b"X: y\nTransfer-Encoding: chunked"], b"0\r\n\r\n"),
        ([b"X: y\rTransfer-Encoding: chunked"], b"0\r\n\r\n"),
        ([b"X"], b""),
        ([b": y"], b""),
        ([b"X(y): z"], b""),
        ([b"Host: y"], b""),
        ([CHUNKED], b"ZZ\r\nhello\r\n0\r\n\r\n"),
        ([CHUNKED], b"-1\r\nhello\r\n0\r\n\r\n"),
        ([CHUNKED], b"+5\r\nhello\r\n0\r\n\r\n"),
        ([CHUNKED], b"0x5\r\nhello\r\n0\r\n\r\n"),
        ([CHUNKED], b" 5\r\nhello\r\n0\r\n\r\n"),
        ([CHUNKED], b"5_0\r\nhello\r\n0\r\n\r\n"),
        ([CHUNKED], b"\r\nhello\r\n0\r\n\r\n"),
        ([CHUNKED], b"5\nhello\r\n0\r\n\r\n"),
        ([CHUNKED], b"5;\nx\r\nhello\r\n0\r\n\r\n"),
        ([CHUNKED], b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        ([CHUNKED], b"5\r\nhello, world\r\n0\r\n\r\n"),
        ([CHUNKED], b"5\r\nhell\r\n0\r\n\r\n"),
        ([CHUNKED], b"5\r\nhello0\r\n\r\n"),
        ([CHUNKED], b"5\r\nhello" + b"x" * 10_000),
        ([CHUNKED], b"5;" + b"x" * 10_000),
    ],
    ids=shown,
)
def test_a_request_that_could_end_in_two_places_is_refused(site, lines, body):
    assert only(site.say(framed(b"Host: x", *lines, body=body + SMUGGLED))) == 400


@pytest.mark.parametrize(
    "coding",
    [b"gzip, chunked", b"chunked, chunked", b"identity", b"xchunked", b"chunked\xa0", b""],
    ids=shown,
)
def test_a_coding_that_is_not_known_is_refused(site, coding):
    assert only(site.say(framed(b"Host: x", b"Transfer-Encoding: " + coding, body=b"0\r\n\r\n" + SMUGGLED))) == 501
    both = [b"Transfer-Encoding: chunked", b"Transfer-Encoding: " + coding]
    assert only(site.say(framed(b"Host: x", *both, body=b"0\r\n\r\n" + SMUGGLED))) == 501


def test_chunks_are_not_for_http_1_0(site):
    assert only(site.say(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED)) == 400


def test_a_host_is_named_once(site):
    assert only(site.say(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n" + SMUGGLED)) == 400
    assert only(site.say(b"GET / HTTP/1.0\r\n\r\n" + SMUGGLED)) == 200


def test_a_body_that_nobody_reads_is_no_request(site):
    asked = b"POST /static/a.css HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED)
    assert only(site.say(asked + SMUGGLED)) == 405
    chunked = b"POST /static/a.css HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert only(site.say(chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED))) == 405


def test_a_body_that_looks_like_a_request_is_a_body(site):
    asked = b"POST /told HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n" % (CLOSE, len(SMUGGLED))
    answer = site.say(asked + SMUGGLED)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["body"].encode() == SMUGGLED


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent_Length: 7\r\n",
        b"Content_Length: 7\r\nContent-Length: 5\r\n",
        b"Content-Length: 0005\r\n",
        b"Content-Length: \t5 \t\r\n",
    ],
)
def test_the_application_is_told_one_length(site, headers):
    answer = site.say(b"POST /told HTTP/1.1\r\n" + CLOSE + headers + b"\r\nhello")
    told = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (told["CONTENT_LENGTH"], told["body"]) == ("5", "hello")


def client_hello() -> bytes:
    """What a client says that takes the port for one of https."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        pytest.param(client_hello(), {0, 400}, id="the hello of TLS"),
        pytest.param(client_hello() + b"\r\n\r\n", {400}, id="the hello of TLS and an empty line"),
        pytest.param(random.Random(1).randbytes(3000), {0, 400}, id="random bytes"),  # noqa: S311 - not for secrets
        pytest.param(random.Random(2).randbytes(100_000), {0, 400, 414, 431}, id="many random bytes"),  # noqa: S311
        pytest.param(bytes(3000) + b"\r\n\r\n", {400}, id="zeros"),
        pytest.param(b"\r\n" * 10_000, {0}, id="empty lines"),
        (b"\n\n\n\n", {0}),
        (b"\r", {0}),
        (b"", {0}),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {505}),
        (b"GET / HTTP/2\r\nHost: x\r\n\r\n", {505}),
        (b"GET / HTTP/0.9\r\nHost: x\r\n\r\n", {505}),
        (b"GET / HTTP/1.2\r\nHost: x\r\n\r\n", {505}),
        (b"GET /\r\n\r\n", {400}),
        (b"GET\r\n\r\n", {400}),
        (b"GET / http/1.1\r\nHost: x\r\n\r\n", {400}),
        (b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n", {400}),
        (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
        (b" GET / HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
        (b"GET\t/\tHTTP/1.1\r\nHost: x\r\n\r\n", {400}),
        (b"GET / /x HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
        (b"GET / HTTP/1.1\nHost: x\n\n", {0}),
        (b"GET / HTTP/1.1\nHost: x\n\r\n\r\n", {400}),
        (b"G\xc3\x89T / HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
        (b"CONNECT example.com:443 HTTP/1.1\r\n" + CLOSE + b"\r\n", {400}),
        (b"GET example.com HTTP/1.1\r\n" + CLOSE + b"\r\n", {400}),
        (b"GET ftp://example.com/ HTTP/1.1\r\n" + CLOSE + b"\r\n", {400}),
        (b"GET ?x HTTP/1.1\r\n" + CLOSE + b"\r\n", {400}),
        (b"SSH-2.0-OpenSSH_9.6\r\n", {0}),
        (b"*1\r\n$4\r\nPING\r\n", {0}),
        (b"EHLO example.com\r\n\r\n", {400}),
    ],
    ids=shown,
)
def test_what_is_no_request_is_refused_or_left(site, data, statuses):
    answer = say_and_end(site, data)
    assert (only(answer) if answer else 0) in statuses


@pytest.mark.parametrize(
    ("line", "method", "path", "query"),
    [
        (b"OPTIONS * HTTP/1.1", "OPTIONS", "/", ""),
        (b"GET http://x/told?a=b HTTP/1.1", "GET", "/told", "a=b"),
        (b"GET HTTPS://x:1/told HTTP/1.1", "GET", "/told", ""),
        (b"get /told HTTP/1.1", "get", "/told", ""),
        (b"BREW /told HTTP/1.1", "BREW", "/told", ""),
        (b"M-SEARCH /told?? HTTP/1.1", "M-SEARCH", "/told", "?"),
        (b"!#$%&'*+-.^_`|~ /told HTTP/1.1", "!#$%&'*+-.^_`|~", "/told", ""),
        (b"CONNECT /told HTTP/1.1", "CONNECT", "/told", ""),
        (b"GET /told#x?y HTTP/1.1", "GET", "/told", ""),
        (b"GET /x/../told?../%00\xff%zz HTTP/1.1", "GET", "/told", "../%00\xff%zz"),
        (b"GET /x\\..\\told HTTP/1.1", "GET", "/told", ""),
    ],
    ids=shown,
)
def test_the_application_is_told_what_was_asked(site, line, method, path, query):
    answer = site.say(line + b"\r\n" + CLOSE + b"\r\n")
    assert only(answer) == 200
    body = answer.partition(b"\r\n\r\n")[2]
    if path != "/told":
        assert body == f"{path} 0".encode()
        return
    told = json.loads(body)
    assert (told["REQUEST_METHOD"], told["PATH_INFO"], told["QUERY_STRING"]) == (method, path, query)


@pytest.mark.parametrize(("method", "status"), [(b"get", 405), (b"BREW", 405), (b"OPTIONS", 200), (b"DELETE", 405)])
def test_files_are_asked_for_by_get_and_head_alone(site, method, status):
    answer = site.say(method + b" /static/a.css HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert only(answer) == status
    assert b"\r\nAllow: " in answer


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"/%FF%FE", 200),
        (b"/\xff\xfe", 200),
        (b"/%C3%28/%E2%82", 200),
        (b"/%ED%A0%80", 200),
        (b"/%C0%AE%C0%AE/app.py", 200),
        (b"/%00", 400),
        (b"/a%00b", 400),
        (b"/a\0b", 400),
        (b"/a\x7fb", 400),
        (b"/a%0Ab", 400),
        (b"/a%7Fb", 400),
        (b"/%", 400),
        (b"/%4", 400),
        (b"/%zz", 400),
        (b"/%u0041", 400),
        (b"/..", 400),
        (b"/../", 400),
        (b"/../../etc/passwd", 400),
        (b"/..%2f..%2fetc/passwd", 400),
        (b"/%2e%2e%5c%2e%2e%5capp.py", 400),
        (b"/%252e%252e/app.py", 404),
        (b"/web.config", 404),
        (b"/WEB.CONFIG", 404),
        (b"/web%2econfig::$DATA", 404),
        (b"/static/%FF.css", 404),
        (b"/static/%C0%AE%C0%AE/a.css", 404),
        (b"/static/a.css%00", 400),
        (b"/static/%00/a.css", 400),
        (b"/static/..%5c..%5capp.py", 400),
        (b"/static/a.css.", 404),
        (b"/static/a.css%20", 404),
        (b"/static/a.css::$DATA", 404),
        (b"/static/a.css/", 404),
        (b"/static/a.css/x", 404),
        (b"/static/" + b"a" * 3000, 404),
        (b"/static/" + b"%41" * 1000 + b".css", 404),
        (b"/static//a.css", 200),
        (b"/STATIC/A.CSS", 200),
    ],
    ids=shown,
)
def test_paths_of_odd_bytes_lead_nowhere_else(site, path, status):
    answer = site.say(b"GET " + path + b" HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert only(answer) == status
    assert b"def app" not in answer
    assert b"root:" not in answer


@pytest.mark.parametrize("path", ["/" * 4000 + "x", "/static" + "/" * 3000 + "a.css", "/x/.." * 800, "/." * 2000])
def test_an_address_of_many_segments_is_soon_found(site, path):
    began = time.monotonic()
    assert site.ask(path).status == 200
    assert time.monotonic() - began < PATIENCE / 5


@pytest.mark.parametrize("path", ["/a" * 2000, "/static" + "/a" * 1900])
def test_a_deep_address_is_soon_found(tmp_path, path):
    with served(tmp_path) as site:
        lay(site.folder, {f"static/{number}.css": "" for number in range(2000)})
        began = time.monotonic()
        assert site.ask(path).status in {200, 404}
        assert time.monotonic() - began < PATIENCE / 5


@pytest.mark.parametrize(
    ("server", "path"),
    [
        (
            '<rewrite><rules><rule name="a" patternSyntax="Wildcard"><match url="*/api/*/v*/*.json" />'
            '<action type="Rewrite" url="x" /></rule></rules></rewrite>',
            "/" + "/api//v/" * 400,
        ),
        (
            '<handlers><add name="a" path="a/*/b/*/c/*/d" verb="*" modules="FastCgiModule" /></handlers>',
            "/a/" + "b/c/" * 400,
        ),
    ],
    ids=["rule", "handler"],
)
def test_stars_of_a_pattern_take_no_time(tmp_path, server, path):
    with other_site(tmp_path, web_config=config(server=server)) as site:
        assert site.get("/first") == "/first 0"
        began = time.monotonic()
        assert site.ask(path).status == 200
        assert time.monotonic() - began < PATIENCE


# Expectations


def test_a_client_that_waits_to_be_told_to_go_on_is_told(site):
    with site.connect() as connection, connection.makefile("rb") as stream:
        for number in range(3):
            connection.sendall(b"POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n" % number)
            connection.sendall(b"Expect: 100-Continue\r\n\r\n")
            assert stream.readline() + stream.readline() == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(b"hello")
            assert read_answer(stream).text == f"/{number} 5"


def test_http_1_0_is_not_told_to_go_on(site):
    with site.connect() as connection:
        connection.sendall(b"POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert site.get("/meanwhile") == "/meanwhile 0"
        connection.sendall(b"hello")
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_does_not_wait_is_answered_once(site):
    asked = b"POST /5 HTTP/1.1\r\n" + CLOSE + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello"
    assert only(site.say(asked)) == 200


@pytest.mark.parametrize(
    ("path", "length", "status"),
    [(b"/", 100 * MB, 413), (b"/static/a.css", 5, 405), (b"/web.config", 5, 404)],
    ids=shown,
)
def test_a_client_is_not_told_to_go_on_for_nothing(site, path, length, status):
    asked = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n" % (path, length)
    assert only(site.say(asked)) == status


# Anything at all


VALID = [
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0\r\nAccept: text/html;q=0.9, */*\r\n\r\n",
    b'GET /static/a.css?v=1 HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: "1d9:0"\r\nRange: bytes=0-1,-1\r\n\r\n',
    b"GET /static/a.css HTTP/1.1\r\nHost: x\r\nIf-Modified-Since: Sat, 28 Nov 2026 22:32:05 GMT\r\n\r\n",
    b"POST /hash HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 20\r\n\r\nabcdefghijklmnopqrst",
    b"PUT /a%20b/%C3%A9?c=d&e=%F0%9F%98%80 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n"
    b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX: y\r\n\r\n",
    b"POST /1 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab"
    b"HEAD /static/a.css HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: h2c\r\nCookie: a=b; c=d\r\n\r\n",
    b"GET http://localhost:80/told/../told HTTP/1.1\r\nHost: localhost:80\r\nX-Original-URL: /x\r\nProxy: y\r\n\r\n",
]
ODD = [
    *(b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\n\n", b"\0", b"\xff", b"\x80", b"\x7f", b"\xc3\xa9", b" ", b"\t", b"\x0b"),
    *(b":", b",", b";", b"%", b"%00", b"%2e%2e%2f", b"../", b"\\", b"/", b"//", b"?", b"#", b"*", b"@", b"[::1]", b'"'),
    *(b"0", b"-1", b"+", b"99999999999999999999", b"9" * 5000, b"a" * 5000, b"a" * 70_000, b"HTTP/1.1", b"HTTP/1.0"),
    *(b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Host: y\r\n"),
    *(b"Expect: 100-continue\r\n", b"Range: bytes=-0\r\n", b"If-Match: *\r\n", b"HEAD ", b"http://", b"0\r\n\r\n"),
]


def mutated(number: int) -> bytes:
    """A request with some changes, the same for the same seed and number."""
    chance = random.Random(f"{SEED} {number}")  # noqa: S311 - not for secrets
    changed = bytearray(chance.choice(VALID))
    for _ in range(chance.choice([1, 1, 2, 3, 8])):
        here = chance.randrange(len(changed) + 1)
        there = min(len(changed), here + chance.choice([1, 1, 2, 5, 20, 100]))
        piece = bytes(changed[here:there])
        flipped = bytes(byte ^ (1 << chance.randrange(8)) for byte in piece[:3]) + piece[3:]
        odd = chance.choice(ODD)
        other = chance.choice(VALID)[:there]
        changed[here:there] = chance.choice([b"", flipped, flipped, piece * 2, odd, odd + piece, other])
    if chance.random() < 0.1:
        changed = changed[: chance.randrange(len(changed) + 1)]
    return bytes(changed)


def try_mutated(site: Hosted, numbers: range) -> None:
    print(f"ROLEPACK_FUZZ_SEED={SEED}")
    found: dict[int, int] = {}
    for number in numbers:
        data = mutated(number)
        try:
            answer = say_and_end(site, data)
        except TimeoutError:
            raise AssertionError(f"seed {SEED}, case {number}: neither an answer nor an end: {data!r}") from None
        match = re.match(rb"HTTP/1\.1 ([1-5]\d\d) [^\r\n]*\r\n", answer)
        assert match or not answer, f"seed {SEED}, case {number}: {data!r}: {answer!r}"
        status = int(match[1]) if match else 0
        assert status != 500, f"seed {SEED}, case {number}: {data!r}: {answer!r}"
        found[status] = found.get(status, 0) + 1
    assert found[200] > len(numbers) / 20
    assert found[400] > len(numbers) / 20


@pytest.mark.parametrize("start", range(0, SHARE, SHARE // 2))
def test_a_share_of_mutated_requests_is_answered_or_left(site, start):
    try_mutated(site, range(start, start + SHARE // 2))


@pytest.mark.long
@pytest.mark.parametrize("start", range(SHARE, WHOLE, CHUNK))
def test_all_mutated_requests_are_answered_or_left(site, start):
    try_mutated(site, range(start, min(start + CHUNK, WHOLE)))
