"""A conversation with our programs on a host; where a connection breaks, it is made and the question asked again."""

import base64
import secrets
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from cloudservice.errors import Fault, ServiceError
from cloudservice.plain import from_plain
from publisher import archive
from publisher.agent import frames, loader
from publisher.agent.frames import FrameError
from publisher.escaped import escaped, everywhere
from publisher.hosts import Host
from publisher.remote import CHUNK, AwayError, BrokenError, Remote, TooLargeError, smaller

_LOADER = Path(loader.__file__)
_ATTEMPTS, _PAUSES = 4, (0.5, 2.0, 5.0)
_PROBED_WITHIN = 60.0
"""Seconds in which the first question has an answer, unless some byte of the probe ends the input."""
_MOST_PENDING = 2 * frames.MOST
"""Bytes of a line that has no end: more is no answer of ours."""
_MOST_ERRORS, _MOST_TOLD = 4096, 400
"""Bytes of its error output that are kept, and characters of it that are shown."""
_NO_PYTHON = 86
"""The exit code that is told where there is no Python."""

T = TypeVar("T")

Tell = Callable[[Mapping[str, Any]], None]
"""Gets what a host says while it works."""


class _NoArchiveError(Exception):
    """The host has not got the archive with our programs."""


class NoPythonError(Exception):
    """The host has no Python for our programs."""


Prepare = Callable[[Host, str | None], None]
"""Gives a host, with the password of its account, a Python; ServiceError if that fails."""


def refuse_to_prepare(host: Host, _password: str | None) -> None:
    """Say that a host has no Python, and how it gets one."""
    where, wrong = f"host '{host.name}'", f"there is no {python(host)} for rolepack's own programs"
    remedy = "Run `invoke hosts --prepare`, or correct `python` in hosts.yaml"
    raise ServiceError(Fault(where, wrong, remedy))


def silent(_said: Mapping[str, Any]) -> None:
    """Say nothing."""


class Session:
    """A host that is asked about one service. One thing is asked at a time.

    Errors are ServiceError, and name the host and the step; those of a connection only when it could not be made again.
    """

    def __init__(self, host: Host, password: str | None, service: str, prepare: Prepare = refuse_to_prepare) -> None:
        self.host = host
        self.round_trips = 0
        """How often something was asked and answered."""
        self._password, self._service, self._prepare = password, service, prepare
        self._conversation = secrets.token_hex(8)
        self._remote: Remote | None = None
        self._keeps_bytes: bool | None = None
        self._waiting, self._interrupted = 0, -1
        self._chunk = CHUNK
        self._is_lost = False
        """Whether it could not be reached in several attempts; from then on there is one at a time."""
        self._pending = self._errors = b""

    def ask(self, verb: str, step: str, tell: Tell = silent, *, once: bool = False, **asked: Any) -> dict[str, Any]:
        """The answer to what is asked; `step` names it in errors. What may not be done twice is asked `once`."""
        return self.converse(step, lambda: self.send(verb, (), tell, **asked), once=once)

    def send(self, verb: str, content: Iterable[bytes], tell: Tell = silent, **asked: Any) -> dict[str, Any]:
        """The answer to what is asked with content; inside `converse`, which begins again if it breaks."""
        remote = self._connected()
        pending = bytearray(self._request(verb, asked))
        for frame in content:
            pending += frame
            while len(pending) >= self._chunk:
                piece = bytes(pending[: self._chunk])
                remote.send(piece)
                del pending[: len(piece)]
        remote.send(bytes(pending))
        return self._answer(tell)

    def converse(self, step: str, act: Callable[[], T], *, once: bool = False) -> T:
        """Do something that asks; again on a new connection if the one that it uses breaks."""
        attempts = 1 if once or self._is_lost else _ATTEMPTS
        for attempt in range(attempts):
            try:
                return self._once_connected(act)
            except BrokenError as error:
                self.close()
                if attempt == attempts - 1 or (isinstance(error, AwayError) and not self.round_trips):
                    self._is_lost = self._is_lost or not once
                    remedy = "Run the command again when it can be reached"
                    if self.round_trips:
                        remedy = "Run the command again: it carries on from where it was"
                    raise ServiceError(self._fault(step, str(error), remedy)) from None
                time.sleep(_PAUSES[attempt])
            except NoPythonError:
                (self._prepare if attempt == 0 and not self.host.python else refuse_to_prepare)(
                    self.host, self._password
                )
            except ServiceError as error:
                raise ServiceError(*(self._named(fault, step) for fault in error.faults)) from None
        raise AssertionError  # the last attempt returns or raises

    def _once_connected(self, act: Callable[[], T]) -> T:
        """Do something that asks, with the archive if the host lacks it, and in messages that it takes."""
        has_brought = False
        while True:
            try:
                return act()
            except _NoArchiveError:
                self.close()
                if has_brought:
                    message = "it has got rolepack's programs, and says that it has not"
                    raise BrokenError(message) from None
                has_brought = True
                self._connect(brings_archive=True)
            except TooLargeError:
                self.close()
                self._chunk = smaller(self.host, self._chunk)

    @property
    def is_clean(self) -> bool:
        """Whether the connection keeps every byte, as the first answer has told."""
        return bool(self._keeps_bytes)

    def interrupt(self) -> None:
        """Let who waits for an answer in another thread wait no longer; what is asked later is not touched."""
        self._interrupted = self._waiting

    @contextmanager
    def understanding(self, step: str) -> Iterator[None]:
        """Let an answer that is not formed as it has to be, be an error of the host's."""
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            wrong = f"its answer makes no sense ({type(error).__name__}: {escaped(str(error))})"
            raise ServiceError(self._fault(step, wrong, "See what answers there")) from None

    def close(self) -> None:
        """End the conversation."""
        remote, self._remote = self._remote, None
        self._pending = self._errors = b""
        if remote is not None:
            remote.close()

    def _request(self, verb: str, asked: Mapping[str, Any]) -> bytes:
        probes = self._keeps_bytes is None
        about = {"verb": verb, "service": self._service, "conversation": self._conversation, "probes": probes}
        return frames.encode({**about, **asked}) + (frames.probe() if probes else b"")

    def _connected(self) -> Remote:
        return self._remote or self._connect()

    def _connect(self, brings_archive: bool = False) -> Remote:
        self._remote = Remote(self.host, self._password, self._chunk)
        self._remote.open()
        self._remote.start(command_line(self.host, brings_archive))
        if brings_archive:
            self._remote.send(base64.b64encode(archive.made().content) + b"\n")
        return self._remote

    def _answer(self, tell: Tell) -> dict[str, Any]:
        """Listen until there is an answer."""
        self.round_trips += 1
        self._waiting = self.round_trips
        end = time.monotonic() + _PROBED_WITHIN if self._keeps_bytes is None else float("inf")
        while True:
            line = self._line(end)
            if line.strip() == loader.WANTS_ARCHIVE.encode():
                raise _NoArchiveError
            told = self._understood(line)
            self._keeps_bytes = told.get("is_clean", self._keeps_bytes)
            if "result" in told:
                return dict(told["result"])
            if "faults" in told:
                raise ServiceError(*(from_plain(Fault, fault) for fault in told["faults"]))
            if "bug" in told:
                wrong = f"rolepack's own program has failed there:\n{told['bug']}"
                raise ServiceError(
                    self._fault("session", wrong, "This is a fault of rolepack's: report it, with these lines")
                )
            tell(told)

    def _understood(self, line: bytes) -> dict[str, Any]:
        try:
            told = everywhere(frames.decode(line))
        except FrameError:
            told = None
        if not isinstance(told, dict):
            wrong = f"its Python prints `{escaped(line[:200].decode('utf-8', 'replace').strip())}`, which is no answer"
            raise ServiceError(
                self._fault("session", wrong, "See whether `python` in hosts.yaml is Python 3.11 or newer")
            )
        return told

    def _line(self, end: float) -> bytes:
        """The next whole line that the host prints; what comes too late may have been kept from it by a probe."""
        while b"\n" not in self._pending:
            if time.monotonic() > end:
                self._keeps_bytes = False
                message = f"it has not answered in {_PROBED_WITHIN:g} s"
                raise BrokenError(message)
            remote = self._connected()
            out, err, code = remote.receive()
            if self._interrupted == self._waiting:
                raise ServiceError(self._fault("session", "it was interrupted", "Run the command again"))
            self._pending += out
            self._errors = (self._errors + err)[-_MOST_ERRORS:]
            if len(self._pending) > _MOST_PENDING:
                raise ServiceError(self._fault("session", "its answer is too long", "See what runs there"))
            if code is not None and b"\n" not in self._pending:
                self._explain_end(code)
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _explain_end(self, code: int) -> None:
        """The command has ended without an answer."""
        told = escaped(" ".join(self._errors.decode("utf-8", "replace").split())[-_MOST_TOLD:])
        self.close()
        if code == _NO_PYTHON:
            raise NoPythonError
        if code == loader.REFUSED:
            raise ServiceError(self._fault("session", told, "Mend that, then run the command again"))
        message = f"its session has ended with code {code}{f': {told}' if told else ''}"
        raise BrokenError(message)

    def _named(self, fault: Fault, step: str) -> Fault:
        where = f"host '{self.host.name}'"
        if fault.where == where:
            return fault._replace(where=f"{where}, {step}")
        if fault.where.startswith(where):
            return fault
        return fault._replace(where=f"{where}, {fault.where if fault.where != 'session' else step}")

    def _fault(self, step: str, wrong: str, remedy: str) -> Fault:
        return Fault(f"host '{self.host.name}', {step}", wrong, remedy)


def command_line(host: Host, brings_archive: bool = False) -> str:
    """What cmd.exe is told to run; with the archive as the first line of its input, if that is to come."""
    packed = base64.b64encode(zlib.compress(_LOADER.read_bytes(), 9)).decode()
    code = f"exec(__import__('zlib').decompress(__import__('base64').b64decode('{packed}')))"
    words = [host.root, archive.made().name, *(["brought"] if brings_archive else [])]
    # What cmd.exe says of a program that is not there depends on its language.
    return (
        f'if exist "{python(host)}" ("{python(host)}" -I -B -u -c "{code}" {" ".join(words)}) else (exit {_NO_PYTHON})'
    )


def python(host: Host) -> str:
    """The interpreter of rolepack's own programs on a host."""
    return host.python or rf"{host.root}\python\tools\python.exe"
