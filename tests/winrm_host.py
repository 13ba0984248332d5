"""A double of the WinRM service of a Windows host, which pywinrm talks to as it does to a real one.

It speaks the six operations of the command shell, over http (NTLM, every message encrypted) or https (NTLM and Basic),
and hands each command line to a runner. It is served by threads of the test's own process. Whatever can go wrong
between a client and a host can be made to happen: see `Winrm.inject`, `Winrm.refuse` and `Winrm.reboot`.

The module is not called winrm, since that is what pywinrm is called.
"""

import base64
import contextlib
import os
import re
import select
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import spnego
from spnego.exceptions import SpnegoError

Runner = Callable[..., "subprocess.Popen[bytes]"]
"""Starts a command line: called with the line and the variables of its shell, and with directory= if that has one."""

ENVELOPE = 500 * 1024
"""Bytes that a message may have, as Windows comes."""
LONGEST_LINE = 8191
OUTPUT = 100 * 1024
"""Bytes of output that one answer brings."""

_S = "http://www.w3.org/2003/05/soap-envelope"
_A = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
_W = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
_SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
_NAMES = {"s": _S, "a": _A, "w": _W, "rsp": _SHELL}
_FAULT = "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
_STREAM = re.compile(rb"(<(?:\w+:)?Stream\b[^>]*>)([^<]*)")
"""Where a stream starts, and its text, which is too long to be worth parsing."""

_SOAP = "application/soap+xml;charset=UTF-8"
_SEALED = 'multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"'
_BOUNDARY = b"--Encrypted Boundary"
_OCTETS = b"Content-Type: application/octet-stream\r\n"
_SEALED_PART = (
    _BOUNDARY + b"\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n"
    b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d\r\n" + _BOUNDARY + b"\r\n\t" + _OCTETS
)


class Kind(StrEnum):
    """What can happen to an operation on its way."""

    DROP_BEFORE = "drop before"
    """The connection ends before the operation is done."""
    DROP_AFTER = "drop after"
    """It is done, and the connection ends without an answer."""
    TRUNCATED = "truncated"
    """It is done, and half of the answer comes."""
    DELAY = "delay"
    """It is done later."""
    ERROR = "500"
    """It is not done; the answer is an error in HTML, as a proxy gives it."""
    TOO_LARGE = "413"
    """It is not done; its message is said to be too large."""


@dataclass
class Injected:
    """A fault that waits for its operation."""

    kind: Kind
    left: int
    operation: str | None
    seconds: float

    def is_due(self, operation: str) -> bool:
        """Count an operation; whether it is the one."""
        if self.operation in {None, operation}:
            self.left -= 1
        return self.left == 0


@dataclass
class FaultError(Exception):
    """What WS-Management answers to an operation that cannot be done."""

    code: int
    subcode: str
    text: str
    side: str = "Sender"

    def body(self) -> str:
        """The body of the answer."""
        text = escape(self.text)
        return (
            f"<s:Fault><s:Code><s:Value>s:{self.side}</s:Value><s:Subcode><s:Value>w:{self.subcode}</s:Value></s:Subcode>"
            f'</s:Code><s:Reason><s:Text xml:lang="en-US">{text}</s:Text></s:Reason><s:Detail>'
            f'<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="{self.code}" '
            f'Machine="127.0.0.1"><f:Message>{text}</f:Message></f:WSManFault></s:Detail></s:Fault>'
        )


def _timed_out() -> FaultError:
    said = "The WS-Management service cannot complete the operation within the time specified in OperationTimeout."
    return FaultError(2150858793, "TimedOut", said, "Receiver")


def _unknown(what: str) -> FaultError:
    said = f"The request for the Windows Remote Shell with {what} failed because that was not found on the server."
    return FaultError(2150858843, "InvalidSelectors", said)


class Message:
    """What a client asks for."""

    def __init__(self, content: bytes) -> None:
        self._texts = [text for _, text in _STREAM.findall(content)]
        root = ElementTree.fromstring(_STREAM.sub(rb"\1", content))
        self.header, self.body = _child(root, "s:Header"), _child(root, "s:Body")
        self.id = self.text("a:MessageID")
        self.action = self.text("a:Action")
        self.operation = self.action.rpartition("/")[2]

    def text(self, path: str) -> str:
        """What an element of the header says."""
        return _child(self.header, path).text or ""

    @property
    def shell(self) -> str:
        """The id of the shell that is meant."""
        return self.text("w:SelectorSet/w:Selector[@Name='ShellId']")

    @property
    def patience(self) -> float:
        """Seconds that an answer may take."""
        return float(self.text("w:OperationTimeout").removeprefix("PT").removesuffix("S"))

    def streams(self) -> Iterator[tuple[bytes, bool]]:
        """What is to be written into a command, and whether that is the end."""
        for element, text in zip(self.body.iterfind("rsp:Send/rsp:Stream", _NAMES), self._texts, strict=True):
            yield base64.b64decode(text), element.get("End", "").lower() in {"true", "1"}


def _child(parent: ElementTree.Element, path: str) -> ElementTree.Element:
    found = parent.find(path, _NAMES)
    if found is None:
        raise FaultError(2150858752, "SchemaValidationError", f"There is no {path}.")
    return found


class Command:
    """A command line of a client: what it has printed and nobody has fetched yet, and its exit code when it has one."""

    def __init__(self, printed: bytes = b"", code: int | None = None) -> None:
        self._printed = {"stdout": bytearray(), "stderr": bytearray(printed)}
        self._code = code
        self._news = threading.Condition()

    def write(self, content: bytes, is_end: bool) -> None:
        """Give it input, which one without a process ignores."""

    def end(self) -> None:
        """End it with all it has started."""

    def receive(self, command_id: str, patience: float) -> str:
        """The body of an answer with the next output, and the exit code if that was the last."""
        with self._news:
            if not self._news.wait_for(lambda: self._code is not None or any(self._printed.values()), patience):
                raise _timed_out()
            taken = "".join(self._take(name, command_id) for name in self._printed)
            if self._code is None or any(self._printed.values()):
                return f"{taken}{_state(command_id, 'Running')}"
            ends = (f'<rsp:Stream Name="{name}" CommandId="{command_id}" End="true"/>' for name in self._printed)
            return f"{taken}{''.join(ends)}{_state(command_id, 'Done', self._code)}"

    def _take(self, name: str, command_id: str) -> str:
        printed = self._printed[name]
        if not printed:
            return ""
        text = base64.b64encode(printed[:OUTPUT]).decode()
        del printed[:OUTPUT]
        return f'<rsp:Stream Name="{name}" CommandId="{command_id}">{text}</rsp:Stream>'


def _state(command_id: str, state: str, code: int | None = None) -> str:
    ended = "" if code is None else f"<rsp:ExitCode>{code}</rsp:ExitCode>"
    named = f'CommandId="{command_id}" State="{_SHELL}/CommandState/{state}"'
    return f"<rsp:CommandState {named}>{ended}</rsp:CommandState>"


class Running(Command):
    """A command with a process."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        super().__init__()
        self._process = process
        self._readers = [threading.Thread(target=self._read, args=(name,), daemon=True) for name in self._printed]
        self._waiter = threading.Thread(target=self._wait, daemon=True)
        for thread in (*self._readers, self._waiter):
            thread.start()

    def write(self, content: bytes, is_end: bool) -> None:
        """Write into its standard input, which ends there if the client says so."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(content)
            self._process.stdin.flush()
            if is_end:
                self._process.stdin.close()
        except (BrokenPipeError, ValueError):
            raise FaultError(2147942632, "InternalError", "The pipe is being closed.", "Receiver") from None

    def end(self) -> None:
        """Kill it; what its runner has tied to it ends as well."""
        self._process.kill()
        self._waiter.join()

    def _read(self, name: str) -> None:
        pipe = getattr(self._process, name)
        while chunk := self._chunk(pipe.fileno()):
            with self._news:
                self._printed[name] += chunk
                self._news.notify_all()
        pipe.close()

    def _chunk(self, pipe: int) -> bytes:
        """The next bytes of a pipe; none at its end, or when the process has ended and left it to one that goes on."""
        ready = select.poll()
        ready.register(pipe, select.POLLIN)
        while True:
            has_ended = self._process.poll() is not None  # asked first: what it printed last is in the pipe by then
            if ready.poll(20):
                return os.read(pipe, 1 << 16)
            if has_ended:
                return b""

    def _wait(self) -> None:
        for reader in self._readers:
            reader.join()
        code = self._process.wait()
        with self._news:
            self._code = code
            self._news.notify_all()
        with contextlib.suppress(OSError):  # input that it did not want
            self._process.stdin.close()  # type: ignore[union-attr]


@dataclass
class Shell:
    """A shell that a client has opened."""

    environ: dict[str, str]
    directory: str | None
    codepage: str | None
    commands: dict[str, Command] = field(default_factory=dict)

    @classmethod
    def of(cls, message: Message) -> Self:
        """The shell that a client wants."""
        named = message.body.iterfind(".//rsp:Environment/rsp:Variable", _NAMES)
        environ = {variable.get("Name", ""): variable.text or "" for variable in named}
        codepage = message.header.findtext("w:OptionSet/w:Option[@Name='WINRS_CODEPAGE']", None, _NAMES)
        return cls(environ, message.body.findtext(".//rsp:WorkingDirectory", None, _NAMES), codepage)

    def run(self, line: str, runner: Runner) -> str:
        """Start a command; its id."""
        command_id = _new_id()
        if len(line) > LONGEST_LINE:
            self.commands[command_id] = Command(b"The command line is too long.\r\n", 1)
        else:
            where = {"directory": self.directory} if self.directory else {}
            self.commands[command_id] = Running(runner(line, dict(self.environ), **where))
        return command_id

    def command(self, command_id: str) -> Command:
        """A command that the shell has."""
        if command_id not in self.commands:
            raise _unknown(f"CommandId {command_id}")
        return self.commands[command_id]

    def end(self) -> None:
        """End all that runs in it."""
        for command in list(self.commands.values()):
            command.end()


def _new_id() -> str:
    return str(uuid.uuid4()).upper()


class Service:
    """The operations."""

    def __init__(self, runner: Runner, address: str) -> None:
        self.mangle: Callable[[bytes], bytes] = bytes
        """What becomes of input; as it is, it stays as it was sent."""
        self._runner, self._address = runner, address
        self.shells: dict[str, Shell] = {}
        self._operations: dict[str, Callable[[Message], str]] = {
            "Create": self._create,
            "Command": self._command,
            "Send": self._send,
            "Receive": self._receive,
            "Signal": self._signal,
            "Delete": self._delete,
        }

    def answer(self, message: Message) -> tuple[HTTPStatus, bytes]:
        """Do what a message asks for."""
        action = f"{message.action}Response"
        try:
            status, body = HTTPStatus.OK, self._do(message)
        except FaultError as fault:
            status, body, action = HTTPStatus.INTERNAL_SERVER_ERROR, fault.body(), _FAULT
        head = (
            f"<a:Action>{action}</a:Action><a:MessageID>uuid:{_new_id()}</a:MessageID>"
            f"<a:To>{_A}/role/anonymous</a:To><a:RelatesTo>{escape(message.id)}</a:RelatesTo>"
        )
        names = " ".join(f'xmlns:{prefix}="{name}"' for prefix, name in _NAMES.items())
        text = f'<s:Envelope xml:lang="en-US" {names}><s:Header>{head}</s:Header><s:Body>{body}</s:Body></s:Envelope>'
        return status, text.encode()

    def end(self) -> None:
        """End every shell."""
        while self.shells:
            with contextlib.suppress(KeyError):  # deleted by its client just now
                self.shells.popitem()[1].end()

    def _do(self, message: Message) -> str:
        if message.text("w:ResourceURI") != f"{_SHELL}/cmd" or message.operation not in self._operations:
            raise FaultError(2150858752, "InvalidResourceURI", "The resource URI is not supported.")
        return self._operations[message.operation](message)

    def _shell(self, message: Message) -> Shell:
        if message.shell not in self.shells:
            raise _unknown(f"ShellId {message.shell}")
        return self.shells[message.shell]

    def _create(self, message: Message) -> str:
        shell_id = _new_id()
        self.shells[shell_id] = Shell.of(message)
        selector = f'<w:SelectorSet><w:Selector Name="ShellId">{shell_id}</w:Selector></w:SelectorSet>'
        kind = f"{_SHELL}/cmd"
        return (
            '<x:ResourceCreated xmlns:x="http://schemas.xmlsoap.org/ws/2004/09/transfer">'
            f"<a:Address>http://{self._address}/wsman</a:Address><a:ReferenceParameters>"
            f"<w:ResourceURI>{kind}</w:ResourceURI>{selector}</a:ReferenceParameters></x:ResourceCreated>"
            f"<rsp:Shell><rsp:ShellId>{shell_id}</rsp:ShellId><rsp:ResourceUri>{kind}</rsp:ResourceUri></rsp:Shell>"
        )

    def _command(self, message: Message) -> str:
        line = _child(message.body, "rsp:CommandLine")
        words = [
            element.text or "" for name in ("Command", "Arguments") for element in line.iterfind(f"rsp:{name}", _NAMES)
        ]
        command_id = self._shell(message).run(" ".join(words), self._runner)
        return f"<rsp:CommandResponse><rsp:CommandId>{command_id}</rsp:CommandId></rsp:CommandResponse>"

    def _send(self, message: Message) -> str:
        command_id = _child(message.body, "rsp:Send/rsp:Stream").get("CommandId", "")
        command = self._shell(message).command(command_id)
        for content, is_end in message.streams():
            command.write(self.mangle(content), is_end)
        return "<rsp:SendResponse/>"

    def _receive(self, message: Message) -> str:
        command_id = _child(message.body, "rsp:Receive/rsp:DesiredStream").get("CommandId", "")
        command = self._shell(message).command(command_id)
        return f"<rsp:ReceiveResponse>{command.receive(command_id, message.patience)}</rsp:ReceiveResponse>"

    def _signal(self, message: Message) -> str:
        command_id = _child(message.body, "rsp:Signal").get("CommandId", "")
        shell = self._shell(message)
        shell.command(command_id).end()
        shell.commands.pop(command_id, None)
        return "<rsp:SignalResponse/>"

    def _delete(self, message: Message) -> str:
        self._shell(message).end()
        self.shells.pop(message.shell, None)
        return ""


class Winrm:
    """A host with that service, while its context lasts."""

    def __init__(
        self,
        runner: Runner,
        user: str = "azure",
        password: str = "S3cret!x",  # noqa: S107 - nothing but tests stands behind it
        address: str = "127.0.0.1",
        port: int = 0,
        certificate: tuple[Path, Path] | None = None,
        envelope: int = ENVELOPE,
    ) -> None:
        self.user, self.password, self.address, self.envelope = user, password, address, envelope
        self.is_secure = certificate is not None
        self.requests: list[str] = []
        """The names of the operations that came, in order."""
        self.service = Service(runner, address)
        self._refuses = False
        self._injected: list[Injected] = []
        self._lock = threading.Lock()
        self._server = _Server(self, (address, port), certificate)
        self.port = int(self._server.server_address[1])
        self.url = f"{'https' if certificate else 'http'}://{address}:{self.port}/wsman"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.reboot()

    def inject(self, kind: str, nth: int = 1, operation: str | None = None, seconds: float = 1.0) -> None:
        """Let one operation go wrong: the nth from now on, of any name or of one.

        `seconds` are how long a delay lasts.
        """
        with self._lock:
            self._injected.append(Injected(Kind(kind), nth, operation, seconds))

    @property
    def refuse(self) -> bool:
        """Whether the host is away: every connection is closed at once."""
        return self._refuses

    @refuse.setter
    def refuse(self, value: bool) -> None:
        """Go away, or come back."""
        self._refuses = value
        if value:
            self._server.cut()

    def reboot(self) -> None:
        """Let the connections end, and all shells and their processes be gone."""
        self._server.cut()  # first, so that no client is told of a command that has ended
        self.service.end()

    def note(self, operation: str) -> Injected | None:
        """Count an operation; the fault that was injected for it."""
        with self._lock:
            self.requests.append(operation)
            due = [fault for fault in self._injected if fault.is_due(operation)]
            for fault in due:
                self._injected.remove(fault)
            return due[0] if due else None


class _Server(ThreadingHTTPServer):
    """The connections."""

    def __init__(self, host: Winrm, address: tuple[str, int], certificate: tuple[Path, Path] | None) -> None:
        self.host = host
        self._connections: set[socket.socket] = set()
        self._context = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*certificate)
        super().__init__(address, _Connection)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection, and know it."""
        connection, client = super().get_request()
        if self._context is not None:  # the handshake comes with the first read, in a thread of the connection
            connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self._connections.add(connection)
        return connection, client

    def verify_request(self, *_: Any) -> bool:
        """Whether the host is there."""
        return not self.host.refuse

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that ends."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def cut(self) -> None:
        """End every connection."""
        for connection in list(self._connections):
            _cut(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of what is wrong with the double; a connection that ended early is no news."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # without the farewell of TLS


class _Session:
    """Who stands at the other end of a connection, and the keys that were agreed on with NTLM."""

    _store = threading.Lock()

    def __init__(self, user: str, password: str) -> None:
        self._user, self._password = user, password
        self._context: Any = None
        self.is_known = False

    def prove(self, authorization: str, allows_basic: bool) -> str:
        """Take an Authorization; what comes back in WWW-Authenticate if more is needed."""
        scheme, _, token = authorization.partition(" ")
        self.is_known = False
        if scheme == "Basic" and allows_basic:
            self.is_known = base64.b64decode(token).decode() == f"{self._user}:{self._password}"
        elif scheme in {"Negotiate", "NTLM"}:
            return f"{scheme} {self._step(base64.b64decode(token))}".strip()
        return "Negotiate"

    def _step(self, token: bytes) -> str:
        with self._accounts():
            if self._context is None or self._context.complete:
                self._context = spnego.server(protocol="ntlm")
            try:
                answer = self._context.step(token)
            except SpnegoError:
                self._context = None
                return ""
        self.is_known = self._context.complete
        return base64.b64encode(answer or b"").decode()

    @contextlib.contextmanager
    def _accounts(self) -> Iterator[None]:
        """Let pyspnego know the account: it reads a file that a variable names, which all hosts of a process share."""
        with self._store, tempfile.NamedTemporaryFile("w") as file:
            file.write(f":{self._user}:{self._password}\n")
            file.flush()
            os.environ["NTLM_USER_FILE"] = file.name
            try:
                yield
            finally:
                del os.environ["NTLM_USER_FILE"]

    def opened(self, sealed: bytes) -> bytes | None:
        """The message in an encrypted one; None if it is not for the keys of this connection."""
        start = sealed.index(_OCTETS) + len(_OCTETS)
        length = int.from_bytes(sealed[start : start + 4], "little")
        signature = sealed[start + 4 : start + 4 + length]
        try:
            return self._context.unwrap_winrm(signature, sealed[start + 4 + length : sealed.rindex(_BOUNDARY)])
        except SpnegoError:
            return None

    def sealed(self, message: bytes) -> bytes:
        """A message, encrypted."""
        made = self._context.wrap_winrm(message)
        size = len(made.header).to_bytes(4, "little")
        return _SEALED_PART % len(message) + size + made.header + made.data + _BOUNDARY + b"--\r\n"


class _Connection(BaseHTTPRequestHandler):
    """One connection of a client."""

    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Begin with a client that has not said who it is."""
        super().setup()
        self._host = self.server.host
        self._session = _Session(self._host.user, self._host.password)

    def do_POST(self) -> None:
        """Answer one request."""
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self._is_allowed():
            return
        if len(content) > self._host.envelope:
            self._refuse_size()
        elif content:
            self._serve(content)
        else:
            self._send(HTTPStatus.OK)

    def _is_allowed(self) -> bool:
        """Whether the client has proved who it is; if not, it is told to."""
        offered = "Negotiate"
        if "Authorization" in self.headers:
            offered = self._session.prove(self.headers["Authorization"], self._host.is_secure)
        if not self._session.is_known:
            basic = ', Basic realm="WSMAN"' if self._host.is_secure and offered == "Negotiate" else ""
            self._send(HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": offered + basic})
        return self._session.is_known

    def _serve(self, content: bytes) -> None:
        is_sealed = self.headers.get("Content-Type", "").startswith("multipart/encrypted")
        if not is_sealed and not self._host.is_secure:
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR)  # AllowUnencrypted is false
            return
        opened = self._session.opened(content) if is_sealed else content
        if opened is None:
            self._send(HTTPStatus.BAD_REQUEST)
            return
        message = Message(opened)
        fault = self._host.note(message.operation)
        if fault is None or not self._prevents(fault):
            status, answer = self._host.service.answer(message)
            sealed = (_SEALED, self._session.sealed(answer)) if is_sealed else (_SOAP, answer)
            self._give(_http(status, {"Content-Type": sealed[0]}, sealed[1]), fault)

    def _prevents(self, fault: Injected) -> bool:
        """Whether a fault keeps an operation from being done, and if so, what comes of it instead."""
        match fault.kind:
            case Kind.DROP_BEFORE:
                self._drop()
            case Kind.ERROR:
                html = b"<html><body><h1>500 Internal Server Error</h1></body></html>"
                self._send(HTTPStatus.INTERNAL_SERVER_ERROR, html, {"Content-Type": "text/html"})
            case Kind.TOO_LARGE:
                self._refuse_size()
            case Kind.DELAY:
                time.sleep(fault.seconds)
                return False
            case _:
                return False
        return True

    def _give(self, answer: bytes, fault: Injected | None) -> None:
        """Send an answer, unless a fault keeps it."""
        kind = fault.kind if fault else None
        if kind != Kind.DROP_AFTER:
            self.wfile.write(answer[: len(answer) // 2] if kind == Kind.TRUNCATED else answer)
        if kind in {Kind.DROP_AFTER, Kind.TRUNCATED}:
            self._drop()

    def _refuse_size(self) -> None:
        self._send(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, headers={"Connection": "close"})
        self.close_connection = True

    def _drop(self) -> None:
        self.close_connection = True
        _cut(self.connection)

    def _send(self, status: HTTPStatus, body: bytes = b"", headers: Mapping[str, str] = {}) -> None:
        self.wfile.write(_http(status, headers, body))

    def log_message(self, *_: object) -> None:
        """Keep still."""


def _http(status: HTTPStatus, headers: Mapping[str, str], body: bytes) -> bytes:
    """An answer in one piece."""
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", "Server: Microsoft-HTTPAPI/2.0"]
    lines += [f"{name}: {value}" for name, value in {**headers, "Content-Length": len(body)}.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
