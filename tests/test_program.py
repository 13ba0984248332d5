"""Programs that serve by themselves, behind the front end (httpPlatformHandler)."""

import json
import re
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import until
from hosted import certified, hosted, lay
from test_iis import chunks, nested

PROGRAM = """
import json, os, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GO = threading.Event()
print("serves", os.getpid(), flush=True)

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/exit":
            os._exit(3)
        elif self.path == "/slow/hang":
            GO.wait(60)
        elif self.path == "/nonsense":
            self.wfile.write(b"no HTTP\\r\\n\\r\\n")
            self.close_connection = True
        elif self.path == "/short":
            self.begin({"Content-Length": "10"})
            self.wfile.write(b"12345")
            self.close_connection = True
        elif self.path == "/stream":
            self.begin({"Transfer-Encoding": "chunked"})
            self.wfile.write(b"5\\r\\nfirst\\r\\n")
            assert GO.wait(30)
            self.wfile.write(b"4\\r\\nlast\\r\\n0\\r\\n\\r\\n")
        elif self.path == "/socket":
            self.send_response_only(101)
            self.send_header("Upgrade", self.headers["Upgrade"])
            self.send_header("Connection", self.headers["Connection"])
            self.end_headers()
            while line := self.rfile.readline():
                self.wfile.write(line.upper())
            self.close_connection = True
        else:
            GO.set() if self.path == "/go" else None
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            told = {"argv": sys.argv[1:], "environ": dict(os.environ), "headers": dict(self.headers)}
            told |= {"path": self.path, "method": self.command, "size": len(body), "first": body[:1].decode()}
            told |= {"pid": os.getpid(), "cwd": os.getcwd(), "port": self.server.server_port}
            answer = json.dumps(told).encode()
            self.begin({"Content-Length": str(len(answer)), "X-By": "program"}, 201)
            self.wfile.write(answer if self.command != "HEAD" else b"")

    do_POST = do_PUT = do_HEAD = do_GET

    def begin(self, headers, status=200):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def platform(arguments, more="", inner="", program="python"):
    return nested(
        '<handlers><add name="httpPlatform" path="*" verb="*" modules="httpPlatformHandler" /></handlers>'
        f'<httpPlatform processPath="{program}" arguments="{arguments}" {more}>{inner}</httpPlatform>'
    )


LOGGED = 'stdoutLogEnabled="true" stdoutLogFile=".\\logs\\out"'
VARIABLES = """<environmentVariables><environmentVariable name="TOLD" value="at %HTTP_PLATFORM_PORT%" />
<environmentVariable name="TWICE" value="%told%, %NO_SUCH%" /></environmentVariables>"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """A program that serves, and applications whose programs do not."""
    base = tmp_path_factory.mktemp("platform")
    served = platform("bin\\server.py %HTTP_PLATFORM_PORT% &quot;two words&quot; a\\b", LOGGED, VARIABLES)
    lay(base / "site", {"bin/server.py": PROGRAM, "web.config": served})
    configs = {
        "silent": platform("-c &quot;import time; time.sleep(60)&quot;", 'startupTimeLimit="1"'),
        "ends": platform("-c &quot;raise SystemExit(4)&quot;", 'rapidFailsPerMinute="2"'),
        "missing": platform("", program="no-such-program"),
        "slow": platform("server.py %HTTP_PLATFORM_PORT%", 'requestTimeout="00:00:01"'),
    }
    places = [["", str(base / "site"), True]]
    for name, content in configs.items():
        places.append([f"/{name}", str(lay(base / name, {"web.config": content, "server.py": PROGRAM})), True])
    with hosted(base / "site", sites=[{"bindings": [], "places": places}]) as made:
        yield made


def test_a_program_is_started_with_a_port(programs):
    answer = programs.ask("/a%20b?c=d", X_Mine="1", X_Forwarded_For="10.0.0.1", Keep_Alive="x")
    told = json.loads(answer.text)
    assert (answer.status, answer.headers["X-By"], told["path"]) == (201, "program", "/a%20b?c=d")
    port = str(told["port"])
    assert told["argv"] == [port, "two words", "a\\b"]
    assert Path(told["cwd"]) == programs.folder
    assert told["environ"]["HTTP_PLATFORM_PORT"] == port
    assert (told["environ"]["TOLD"], told["environ"]["TWICE"]) == (f"at {port}", f"at {port}, %NO_SUCH%")
    headers = told["headers"]
    assert (headers["Host"], headers["X-Mine"]) == (f"127.0.0.1:{programs.port}", "1")
    assert re.fullmatch(r"10\.0\.0\.1, 127\.0\.0\.1:\d+", headers["X-Forwarded-For"])
    assert (headers["X-Forwarded-Proto"], "Keep-Alive" in headers) == ("http", False)


def test_a_program_writes_to_the_log_that_is_named(programs):
    pid = json.loads(programs.ask("/").text)["pid"]
    (log,) = until(lambda: list((programs.folder / "logs").glob("out*.log")))
    until(lambda: f"serves {pid}" in log.read_text())


@pytest.mark.parametrize("size", [0, 1, 5000, 300_000])
def test_a_body_reaches_the_program(programs, size):
    for method in ("POST", "PUT"):
        for body in (b"x" * size, chunks(b"x" * (size // 2), b"x" * (size - size // 2))):
            told = json.loads(programs.ask("/", method, body).text)
            assert (told["method"], told["size"], told["first"]) == (method, size, "x"[:size])


def test_a_head_has_the_length_and_no_body(programs):
    answer = programs.ask("/", "HEAD")
    assert (answer.status, answer.body) == (201, b"")
    assert int(answer.headers["Content-Length"]) > 100


def test_an_answer_passes_piece_by_piece(programs):
    with programs.connect() as connection:
        connection.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        found = b""
        while b"first" not in found and (piece := connection.recv(1000)):
            found += piece
        assert b"last" not in found
        assert programs.ask("/go").status == 201
        while piece := connection.recv(1000):
            found += piece
    assert found.endswith(b"\r\n\r\n5\r\nfirst\r\n4\r\nlast\r\n0\r\n\r\n")


def test_another_protocol_passes_in_both_directions(programs):
    with programs.connect() as connection, connection.makefile("rwb") as file:
        file.write(
            b"GET /socket HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: shout\r\n\r\nearly\n"
        )
        file.flush()
        head = b"".join(iter(file.readline, b"\r\n"))
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"Upgrade: shout\r\n" in head
        assert file.readline() == b"EARLY\n"
        for number in range(3):
            file.write(b"word %d\n" % number)
            file.flush()
            assert file.readline() == b"WORD %d\n" % number
        connection.shutdown(socket.SHUT_WR)
        assert file.read() == b""


def test_an_answer_that_is_none_or_breaks_off_is_not_taken_for_whole(programs):
    answer = programs.ask("/nonsense")
    assert (answer.status, "not well-formed" in answer.text) == (502, True)
    found = programs.say(b"GET /short HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"Content-Length: 10\r\n" in found
    assert found.endswith(b"\r\n\r\n12345")
    assert programs.ask("/").status == 201


def test_a_program_that_ends_is_started_again(programs):
    before = json.loads(programs.ask("/").text)["pid"]
    assert programs.ask("/exit").status == 502
    after = until(lambda: (answer := programs.ask("/")).status == 201 and json.loads(answer.text)["pid"])
    assert after != before


def test_a_program_that_never_listens_is_given_up(programs):
    began = time.monotonic()
    answer = programs.ask("/silent/")
    assert (answer.status, time.monotonic() - began < 20) == (502, True)
    assert "the program did not listen within 1 s (startupTimeLimit)" in answer.text


def test_a_program_that_is_silent_for_too_long_costs_its_request_alone(programs):
    first = json.loads(programs.ask("/slow/").text)["pid"]
    answer = programs.ask("/slow/hang")
    assert answer.status == 502
    assert "it was silent for 1 s (requestTimeout)" in answer.text
    assert json.loads(programs.ask("/slow/").text)["pid"] == first


def test_a_program_that_ends_at_once_is_told_and_left_alone_after_a_while(programs):
    for _ in range(2):
        answer = programs.ask("/ends/")
        assert (answer.status, "(exit code 4)" in answer.text) == (502, True)
    assert programs.ask("/ends/").status == 502
    assert "it has failed 2 times within a minute" in programs.output


def test_a_program_that_is_not_there_is_told(programs):
    assert programs.ask("/missing/").status == 502
    assert "no-such-program cannot be started: No such file or directory" in programs.output


def test_a_client_of_https_is_told_to_be_one(tmp_path):
    served = platform("server.py %HTTP_PLATFORM_PORT%")
    files = {"server.py": PROGRAM, "web.config": served}
    with hosted(lay(tmp_path / "site", files), certificate=certified(tmp_path)) as site:
        told = json.loads(site.ask_securely("/a", X_Forwarded_Proto="http").text)
        assert told["headers"]["X-Forwarded-Proto"] == "https"
        assert told["headers"]["Host"] == f"127.0.0.1:{site.secure_port}"


def test_several_programs_share_the_requests(tmp_path):
    served = platform("server.py %HTTP_PLATFORM_PORT%", 'processesPerApplication="3"')
    with hosted(lay(tmp_path / "site", {"server.py": PROGRAM, "web.config": served})) as site, ExitStack() as stack:
        waiting = [stack.enter_context(site.connect()) for _ in range(2)]
        for connection in waiting:
            connection.sendall(b"GET /slow/hang HTTP/1.1\r\nHost: x\r\n\r\n")
            assert site.ask("/").status == 201
        pid = json.loads(site.ask("/").text)["pid"]
        there = set(re.findall(r"serves (\d+)", site.output))
        assert str(pid) in there
        assert len(there) == 3
