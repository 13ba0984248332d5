"""A command on a Windows machine, over WinRM: started, fed, listened to. The one owner of pywinrm.

Source of the limits: Microsoft's pages on WinRM quotas, as reference: an envelope has 500 KB unless the machine says
otherwise, and answers 413 where it is larger.
"""

import contextlib
import socket
import threading
import warnings
from typing import Any
from xml.etree import ElementTree

import requests
import winrm.exceptions as failures
from spnego.exceptions import SpnegoError
from winrm.protocol import Protocol

from cloudservice.errors import Fault, ServiceError
from publisher.escaped import escaped
from publisher.hosts import Host

_ENVELOPE = 500 * 1024
"""Bytes of a message that every Windows since 2012 takes, unless it is told otherwise."""
_AROUND = 4 * 1024
"""Bytes of a message around what it carries, and a little more."""
CHUNK = (_ENVELOPE - _AROUND) // 4 * 3
"""Bytes of input that such a message carries, as base64."""
_PROTOCOL: Any = Protocol
"""Its types name fewer transports and values than it takes."""
_SMALLEST = 16 * 1024
_CONNECT, _OPERATION, _READ = 10.0, 10, 25
"""Seconds for a connection, until a host says that nothing has happened, and until silence means that it is gone."""
_BRIEF = 2.0
_LOGIN = threading.Lock()
_GONE = 2150858843
_QUOTAS = {2150859173, 2150859174}
_NAMES = {"https": "basic"}
_SENSELESS = (ElementTree.ParseError, StopIteration, AssertionError, ValueError, IndexError)
"""What pywinrm raises where an answer is not what it has to be."""


class BrokenError(Exception):
    """The connection, or the command at its other end, is gone; another try may go well."""


class AwayError(BrokenError):
    """Nobody is there; whoever was there before may be back soon."""


class TooLargeError(Exception):
    """A message was refused for its size; the command has got what came before it, and maybe no more can come."""


class Remote:
    """A shell on a host, with one command at a time. Every method may raise BrokenError, or ServiceError for good."""

    def __init__(self, host: Host, password: str | None, chunk: int = CHUNK) -> None:
        self._host, self._chunk = host, chunk
        self._password = password
        self._protocol: Any = None
        self._shell = self._command = ""

    def open(self) -> None:
        """Connect, and have a shell."""
        self._reach()
        host = self._host
        with _translated(host, is_opening=True):
            self._protocol = _PROTOCOL(
                host.url,
                transport=_NAMES.get(host.transport, host.transport),
                username=host.account or None,
                password=self._password,
                ca_trust_path=str(host.ca) if host.ca else None,
                cert_pem=str(host.certificate) if host.certificate else None,
                cert_key_pem=str(host.key) if host.key else None,
                operation_timeout_sec=_OPERATION,
                read_timeout_sec=_READ,
                message_encryption="auto" if host.tls else "always",
                proxy=None,
            )
            with _LOGIN:
                # To go without a proxy, requests sets a variable of this process for a moment, which other threads
                # must not be in the middle of reading; from then on it looks at none.
                self._protocol.transport.build_session().trust_env = False
            self._shell = self._protocol.open_shell(codepage=65001, noprofile=True)

    def start(self, line: str) -> None:
        """Run a command line of cmd.exe."""
        with _translated(self._host):
            self._command = self._protocol.run_command(self._shell, line, console_mode_stdin=False)

    def send(self, data: bytes) -> None:
        """Give the command input, in as many messages as that needs; TooLargeError if the host does not take one."""
        for at in range(0, len(data), self._chunk):
            with _translated(self._host):
                self._protocol.send_command_input(self._shell, self._command, data[at : at + self._chunk])

    def receive(self) -> tuple[bytes, bytes, int | None]:
        """What the command has printed, on its output and its errors, and its exit code if it has ended.

        Both may be empty, when nothing has come for a while.
        """
        try:
            with _translated(self._host):
                out, err, code, is_done = self._protocol.get_command_output_raw(self._shell, self._command)
        except failures.WinRMOperationTimeoutError:
            return b"", b"", None
        return out, err, code if is_done else None

    def close(self) -> None:
        """End the command and the shell, if they can be reached."""
        if self._protocol is None:
            return
        with contextlib.suppress(
            BrokenError, TooLargeError, ServiceError, OSError, failures.WinRMOperationTimeoutError
        ):
            if self._shell:
                # A host that is away is not waited for: its shells end by themselves.
                socket.create_connection((self._host.address, self._host.port), _BRIEF).close()
                with _translated(self._host):
                    self._protocol.close_shell(self._shell)
        with contextlib.suppress(Exception):
            self._protocol.transport.close_session()
        self._protocol, self._shell = None, ""

    def _reach(self) -> None:
        """Find out in plain words whether anybody is there."""
        host = self._host
        where, at = f"host '{host.name}'", f"{host.address}:{host.port}"
        try:
            socket.create_connection((host.address, host.port), _CONNECT).close()
        except socket.gaierror:
            wrong = f"the name {host.address} is not known"
            raise ServiceError(Fault(where, wrong, "Correct its address in hosts.yaml")) from None
        except TimeoutError:
            message = f"nobody answers at {at} within {_CONNECT:g} s"
            raise AwayError(message) from None
        except ConnectionRefusedError:
            message = f"nobody listens at {at}; `winrm quickconfig` there turns WinRM on"
            raise AwayError(message) from None
        except OSError as error:
            message = f"{at} cannot be reached: {error.strerror}"
            raise AwayError(message) from None


def smaller(host: Host, chunk: int) -> int:
    """How many bytes of input to try next; ServiceError if that would be too few to be of use."""
    if chunk <= _SMALLEST:
        wrong, remedy = (
            f"it refuses messages of {chunk // 1024} KB (413)",
            "Raise MaxEnvelopeSizekb in winrm/config there",
        )
        raise ServiceError(Fault(f"host '{host.name}'", wrong, remedy))
    return chunk // 2


@contextlib.contextmanager
def _translated(host: Host, is_opening: bool = False) -> Any:
    """Let errors of pywinrm and what it uses be ours: for good, or such that another try may go well."""
    where = f"host '{host.name}'"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries, about each other
            yield
    except failures.WinRMOperationTimeoutError:
        raise
    except failures.InvalidCredentialsError:
        if not is_opening:
            message = "it does not know the session any more"
            raise BrokenError(message) from None
        who = host.account or "the client"
        wrong = f"it refuses {who} by {host.transport}: the password is wrong, or the transport"
        remedy = "Correct the password or the account, or see `winrm get winrm/config/service/auth` there"
        raise ServiceError(Fault(where, wrong, remedy)) from None
    except failures.WSManFaultError as error:
        _refuse_quota(where, error)
        raise BrokenError(_reason(error)) from None
    except failures.WinRMTransportError as error:
        if error.code == requests.codes.request_entity_too_large:
            raise TooLargeError from None
        message = f"it has answered with status {error.code}"
        raise BrokenError(message) from None
    except requests.exceptions.SSLError as error:
        raise ServiceError(_tls_fault(host, str(error))) from None
    except (requests.exceptions.RequestException, OSError) as error:
        message = f"the connection is broken ({type(error).__name__})"
        raise BrokenError(message) from None
    except (failures.WinRMError, SpnegoError, *_SENSELESS) as error:
        if "not installed" in str(error):
            remedy = f'Install it: pip install "rolepack[{host.transport}]"'
            raise ServiceError(Fault(where, str(error), remedy)) from None
        message = "its answer makes no sense, or is cut off"
        raise BrokenError(message) from None


def _refuse_quota(where: str, error: failures.WSManFaultError) -> None:
    """Say that the machine has too much of something, which another try would not change."""
    if error.wsman_fault_code in _QUOTAS:
        remedy = "End old sessions, or raise MaxShellsPerUser and MaxConcurrentUsers there"
        raise ServiceError(Fault(where, f"it takes no more sessions: {_reason(error)}", remedy)) from None


def _reason(error: failures.WSManFaultError) -> str:
    if error.wsman_fault_code == _GONE:
        return "the session there has ended"
    return escaped(f"WinRM says: {error.reason}".rstrip("."))


def _tls_fault(host: Host, told: str) -> Fault:
    where = f"host '{host.name}'"
    if "doesn't match" in told or "mismatch" in told.lower() or "not valid for" in told:
        wrong = f"its certificate is for another name than {host.address}"
        return Fault(where, wrong, "Use the name in the certificate as address, or give it one for this name")
    if "certificate verify failed" in told or "CERTIFICATE_VERIFY_FAILED" in told:
        wrong = "its certificate is signed by nobody who is trusted here"
        return Fault(where, wrong, "Name the certificate that signed it with `ca:` in hosts.yaml")
    if "WRONG_VERSION_NUMBER" in told:
        return Fault(where, f"it does not speak TLS at port {host.port}", "Correct `port`, `tls` or `transport`")
    return Fault(where, f"TLS fails: {escaped(told)}", "Check that it listens for https on this port")
