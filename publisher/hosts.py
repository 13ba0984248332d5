"""hosts.yaml: the machines that serve a service, how they are reached, and what each of them runs."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

import yaml

from cloudservice import names
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown

FILE = "hosts.yaml"
TRANSPORTS = ("https", "ntlm", "kerberos", "credssp", "certificate")
"""https is Basic over TLS; certificate uses TLS too; the others encrypt messages, or use TLS with `tls: true`."""
ROOT = r"C:\rolepack"
_LONGEST_ROOT = 40
_MOST_BYTES = 1024 * 1024
_MOST_DOMAINS = 20
_MOST_HOSTS = 1000
_SECRET = re.compile(r"(?i)pass(word|wd|phrase)?|secret|token")
_ADDRESS = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:]+(%\w+)?")
_TOP = {"hosts", "defaults", "certificates", "staging_offset", "grace", "up_within", "steady"}
_STAGING_OFFSET = 8000


class Host(NamedTuple):
    """A machine. `internal_address` is where its instances listen, for the others and themselves.

    `python` is the interpreter for rolepack's own programs there; without one it gets its own. `certificate` and `key`
    are the client's, for the transport of that name; `ca` is what signs the certificate of the machine.
    """

    name: str
    address: str
    transport: str
    account: str
    roles: tuple[str, ...]
    update_domain: int
    tls: bool
    port: int
    internal_address: str
    root: str = ROOT
    python: str = ""
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @property
    def url(self) -> str:
        """Where it is asked."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{'https' if self.tls else 'http'}://{address}:{self.port}/wsman"


class Hosts(NamedTuple):
    """All of hosts.yaml. `certificates` are .pfx files by the name in the definition; ports of staging are `offset` up.

    Seconds: `grace` for an instance's end, `up_within` for its start, `steady` that a worker must live for that.
    """

    path: Path
    machines: tuple[Host, ...]
    certificates: Mapping[str, Path]
    offset: int = _STAGING_OFFSET
    grace: float = 30.0
    up_within: float = 300.0
    steady: float = 5.0


def load(path: Path) -> Hosts:
    """Read the file; ServiceError with everything that is wrong with it."""
    if not path.is_file():
        remedy = (
            "Write one: `hosts:`, and below it `web1: {address: …, account: …, roles: […]}`; or name it with --hosts"
        )
        raise ServiceError(Fault(shown(path), "there is no such file", remedy))
    if path.stat().st_size > _MOST_BYTES:
        raise ServiceError(Fault(shown(path), f"it has more than {_MOST_BYTES:,} bytes", "Shorten it"))
    try:
        node = yaml.compose(path.read_bytes(), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise ServiceError(Fault(shown(path), f"it is no YAML: {error.problem}", "Correct it", line)) from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ServiceError(Fault(shown(path), "it is no YAML", "Save it as UTF-8 text")) from None
    reader = _Reader(path)
    hosts = reader.read(node)
    if reader.faults:
        raise ServiceError(*sorted(reader.faults, key=lambda fault: fault.line or 0))
    return hosts


class _Reader:
    """Takes values out of a tree of YAML, and notes what is wrong with them, with lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.faults: list[Fault] = []

    def read(self, node: Any) -> Hosts:
        """The whole file; what is wrong has some value, and a fault."""
        top = self._keys(node, "the file", _TOP)
        defaults = self._keys(top["defaults"], "defaults", _KEYS) if "defaults" in top else {}
        listed = self._mapping(top["hosts"], "hosts") if "hosts" in top else {}
        if not listed:
            self._fault(node, "it names no hosts", "Write `hosts:`, and a name with its keys for each machine")
        if len(listed) > _MOST_HOSTS:
            self._fault(node, f"it names more than {_MOST_HOSTS} hosts", "Split the service")
            listed = {}
        machines = tuple(self._host(name, one, defaults) for name, one in listed.items())
        self._must_differ(machines, listed)
        pfx = self._mapping(top["certificates"], "certificates") if "certificates" in top else {}
        files = {name: file for name, one in pfx.items() if (file := self._file(pfx, name, one))}
        return Hosts(
            self._path,
            machines,
            files,
            self._number(top, "staging_offset", _STAGING_OFFSET, range(1, 60001)),
            *(float(self._number(top, key, usual, range(3601))) for key, usual in _SECONDS.items()),
        )

    def _host(self, name: str, node: Any, defaults: Mapping[str, Any]) -> Host:
        keys = {**defaults, **self._keys(node, f"host '{name}'", _KEYS)}
        if not names.is_name(name):
            self._fault(node, f"'{name}' is no name for a host", names.RULE)
        transport = self._text(keys, "transport", "ntlm")
        if transport not in TRANSPORTS:
            self._fault(keys["transport"], f"transport is '{transport}'", f"Write one of {', '.join(TRANSPORTS)}")
        is_tls = transport in {"https", "certificate"}
        tls = self._claim(keys, "tls", is_tls)
        if is_tls and not tls:
            self._fault(keys["tls"], f"transport {transport} is TLS", "Leave `tls` out, or use another transport")
        address = self._address(keys, "address", node)
        host = Host(
            name,
            address,
            transport,
            self._text(keys, "account", ""),
            self._roles(keys, node),
            self._number(keys, "update_domain", 0, range(_MOST_DOMAINS)),
            tls,
            self._number(keys, "port", 5986 if tls else 5985, range(1, 65536)),
            self._address(keys, "internal_address", node) if "internal_address" in keys else address,
            self._root(keys),
            self._python(keys),
            *(self._file(keys, key, keys.get(key)) for key in ("ca", "certificate", "key")),
        )
        self._check_identity(host, node)
        return host

    def _check_identity(self, host: Host, node: Any) -> None:
        if host.transport == "certificate" and not (host.certificate and host.key):
            self._fault(node, f"host '{host.name}' has no certificate", "Name files with `certificate:` and `key:`")
        if host.transport not in {"certificate", "kerberos"} and not host.account:
            self._fault(node, f"host '{host.name}' has no account", "Write `account: name`, here or in `defaults`")

    def _must_differ(self, machines: Iterable[Host], nodes: Mapping[str, Any]) -> None:
        seen: dict[tuple[str, int], str] = {}
        for one in machines:
            other = seen.setdefault((one.address.lower(), one.port), one.name)
            if other != one.name:
                wrong = f"hosts '{other}' and '{one.name}' are the same machine, {one.address}"
                self._fault(nodes[one.name], wrong, "Give its roles to one of them")

    def _roles(self, keys: Mapping[str, Any], node: Any) -> tuple[str, ...]:
        listed = keys.get("roles")
        if listed is None:
            self._fault(node, "no roles are named", "Write `roles: [name, …]`")
            return ()
        if not isinstance(listed, yaml.SequenceNode) or not all(map(_is_text, listed.value)):
            self._fault(listed, "roles is no list of names", "Write `roles: [name, …]`; `roles: []` empties the host")
            return ()
        found = tuple(one.value for one in listed.value)
        if len(set(found)) < len(found):
            self._fault(listed, "a role is named twice", "Name it once")
        return found

    def _root(self, keys: Mapping[str, Any]) -> str:
        root = self._text(keys, "root", ROOT).rstrip("\\")
        path = PureWindowsPath(root)
        if not path.drive.endswith(":") or not path.root or not all(map(names.is_file_name, path.parts[1:])):
            self._fault(keys["root"], f"root is '{root}', which is no folder of a drive", rf"Write one such as {ROOT}")
        elif len(path.parts) < 2 or len(root) > _LONGEST_ROOT or not re.fullmatch(r"[\w:\\.-]+", root, re.ASCII):
            remedy = f"Write a folder without blanks, of at most {_LONGEST_ROOT} characters"
            self._fault(keys["root"], f"root is '{root}'", remedy)
        return root

    def _python(self, keys: Mapping[str, Any]) -> str:
        python = self._text(keys, "python", "")
        if python and (not PureWindowsPath(python).is_absolute() or re.search(r'["%<>|&^\x00-\x1f]', python)):
            remedy = r"Write its whole path, such as C:\Python311\python.exe"
            self._fault(keys["python"], f"python is '{python}', which is no path of a program", remedy)
        return python

    def _address(self, keys: Mapping[str, Any], key: str, node: Any) -> str:
        address = self._text(keys, key, "")
        if not address:
            self._fault(node, f"no {key} is given", f"Write `{key}: name or IP address`")
        elif not _ADDRESS.fullmatch(address):
            self._fault(keys.get(key, node), f"{key} is '{address}'", "Write a name or an IP address alone")
        return address

    def _file(self, keys: Mapping[str, Any], key: str, node: Any) -> Path | None:
        """A file beside the hosts file."""
        if node is None:
            return None
        path = self._path.parent / self._text(keys, key, "")
        if not path.is_file():
            self._fault(node, f"{key} is '{shown(path)}', and there is no such file", "Correct the path")
        return path

    def _text(self, keys: Mapping[str, Any], key: str, usual: str) -> str:
        node = keys.get(key)
        if node is None:
            return usual
        if not _is_text(node) or not node.value:
            self._fault(node, f"{key} is no text", f"Write `{key}: value`")
            return usual
        return str(node.value)

    def _number(self, keys: Mapping[str, Any], key: str, usual: int, allowed: range) -> int:
        node = keys.get(key)
        if node is None:
            return usual
        text = node.value if _is_text(node) else ""
        if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text) in allowed):
            wrong = f"{key} is no number from {allowed.start} to {allowed.stop - 1}"
            self._fault(node, wrong, "Write a whole number")
            return usual
        return int(text)

    def _claim(self, keys: Mapping[str, Any], key: str, usual: bool) -> bool:
        node = keys.get(key)
        if node is None:
            return usual
        if not _is_text(node) or node.value not in {"true", "false"}:
            self._fault(node, f"{key} is neither true nor false", "Write one of them")
            return usual
        return bool(node.value == "true")

    def _keys(self, node: Any, whose: str, known: Iterable[str]) -> dict[str, Any]:
        """The values by key; keys that are not known are faults."""
        found = self._mapping(node, whose)
        for key in [key for key in found if key not in known]:
            if _SECRET.search(key):
                wrong, remedy = f"{whose} has '{key}': no secret belongs here", _OUTSIDE
            else:
                near = names.similar(key, known)
                wrong, remedy = f"{whose} has a key '{key}', which is not known", f"Write one of {', '.join(known)}"
                remedy = f"Write '{near}', if that was meant" if near else remedy
            self._fault(found.pop(key), wrong, remedy)
        return found

    def _mapping(self, node: Any, whose: str) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            self._fault(node, f"{whose} has no keys", "Write `key: value`, indented below it")
            return {}
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not _is_text(key):
                self._fault(key, f"{whose} has a key that is no text", "Write `key: value`")
            elif key.value in found:
                self._fault(key, f"{whose} has '{key.value}' twice", "Keep one of them")
            else:
                found[key.value] = value
        return found

    def _fault(self, node: Any, wrong: str, remedy: str) -> None:
        line = node.start_mark.line + 1 if node is not None else None
        self.faults.append(Fault(shown(self._path), wrong, remedy, line))


_SECONDS = {"grace": 30, "up_within": 300, "steady": 5}
_KEYS = (
    *("address", "transport", "account", "roles", "update_domain", "tls", "port", "internal_address", "root", "python"),
    *("ca", "certificate", "key"),
)
_OUTSIDE = "Set ROLEPACK_PASSWORD, store it with `keyring set rolepack ACCOUNT`, or wait to be asked"


def chosen(hosts: Hosts, wanted: Iterable[str]) -> Iterator[Host]:
    """The hosts of these names, or all; ServiceError if one is not there."""
    known = {one.name: one for one in hosts.machines}
    remedy = f"Choose from {', '.join(known)}"
    faults = [Fault("--host", f"there is no host '{name}'", remedy) for name in wanted if name not in known]
    if faults:
        raise ServiceError(*faults)
    yield from (known[name] for name in (list(dict.fromkeys(wanted)) or known))


def _is_text(node: Any) -> bool:
    return isinstance(node, yaml.ScalarNode)
