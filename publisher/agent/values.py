"""What a publisher tells a host, and what the host keeps: plain values, which travel as JSON (cloudservice.plain).

A service has up to two deployments on a host, `a` and `b`. The slots, production and staging, name one each, and change
places without anything being copied.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from cloudservice.errors import Fault

SLOTS = ("production", "staging")
DEPLOYMENTS = ("a", "b")
AGAIN = "Mend that, then publish again"
"""What there is to do when something of a version does not come up."""
_NONE: Mapping[str, Any] = MappingProxyType({})


class Binding(NamedTuple):
    """Where a site answers; `certificate` is the thumbprint of the one for https, which is in the machine's `store`."""

    protocol: str
    port: int
    host: str = ""
    certificate: str = ""
    store: str = "My"


class Below(NamedTuple):
    """An application or a directory below a site: its path from there, such as /admin/v1, and its folder."""

    path: str
    directory: str
    is_application: bool


class Site(NamedTuple):
    """A site of a web role; `directory` is a path of the host."""

    name: str
    directory: str
    bindings: tuple[Binding, ...]
    below: tuple[Below, ...]


class Command(NamedTuple):
    """A command line of a definition, for cmd.exe, and the variables that only it sees."""

    line: str
    is_elevated: bool
    environ: Mapping[str, str]
    kind: str = "simple"
    """simple, foreground or background; of a role's program always simple."""


class Store(NamedTuple):
    """A local store: its folder, and whether each start finds it empty."""

    path: str
    is_cleaned: bool


class Question(NamedTuple):
    """What a probe asks: http or tcp, the path for http, and the port; `timeout` in seconds."""

    endpoint: str
    protocol: str
    path: str
    port: int
    timeout: float


class Listening(NamedTuple):
    """Where an instance listens for one endpoint."""

    protocol: str
    address: str
    port: int


class Instance(NamedTuple):
    """One instance of a role on this host, and all that its start needs. Paths are those of the host.

    `environ` is what every process of it sees; `document` the ROLE_ENVIRONMENT, which is written to `document_path`.
    `program` is the one of a worker role; a web role has sites.
    """

    name: str
    role: str
    kind: str
    update_domain: int
    root: str
    environ: Mapping[str, str]
    document_path: str
    document: Mapping[str, Any]
    stores: tuple[Store, ...]
    temp: str
    logs: str
    tasks: tuple[Command, ...]
    program: Command | None
    sites: tuple[Site, ...]
    endpoints: Mapping[str, Listening]
    questions: tuple[Question, ...]

    @property
    def base(self) -> str:
        r"""The folder in which its command lines start: approot, or approot\bin of a web role."""
        return f"{self.root}\\approot\\bin" if self.kind == "web" else f"{self.root}\\approot"


class Rule(NamedTuple):
    """A port that the firewall lets through; `remote` are the addresses that may use it, none means all."""

    protocol: str
    port: int
    remote: tuple[str, ...]


class Slot(NamedTuple):
    """What a host runs when the deployment is in a slot, and the ports that are open for it."""

    instances: tuple[Instance, ...] = ()
    rules: tuple[Rule, ...] = ()


class Certificate(NamedTuple):
    """A certificate that has to be in a store of the host; its location is LocalMachine or CurrentUser."""

    name: str
    thumbprint: str
    location: str
    store: str


class Setup(NamedTuple):
    """A version of the service with one configuration, as one host runs it, in either slot.

    Seconds: `grace` that an instance may take to end, `up_within` to become Ready, and `steady` that a worker's program
    must live for that. Instances whose settings change recycle, or else only see it in their role environment.
    """

    service: str
    configuration: str
    slots: Mapping[str, Slot]
    certificates: tuple[Certificate, ...] = ()
    grace: float = 30.0
    up_within: float = 300.0
    steady: float = 5.0
    recycles_on_change: bool = True


class Entry(NamedTuple):
    """A version in one configuration: the SHA-256 of its setup, by whom it was published, when (ISO 8601), how.

    `token` is the same on every host that the same command has brought it to.
    """

    version: str
    setup: str
    who: str
    when: str
    token: str


class Deployment(NamedTuple):
    """What a deployment runs, and what it ran before, the latest first; `recycles` counts restarts by instance.

    `undone` is what it was taken back from; it is kept until something new comes.
    """

    current: Entry | None = None
    previous: tuple[Entry, ...] = ()
    undone: Entry | None = None

    @property
    def kept(self) -> list[Entry]:
        """What is kept of it: what it runs, ran before, and was taken back from."""
        return [entry for entry in (self.current, *self.previous, self.undone) if entry]

    def without(self, version: str) -> "Deployment":
        """The same without a version that it does not run."""
        undone = self.undone if self.undone and self.undone.version != version else None
        return self._replace(previous=tuple(one for one in self.previous if one.version != version), undone=undone)

    recycles: Mapping[str, int] = _NONE


class State(NamedTuple):
    """What a host is to run; each change has the next serial number.

    `swaps` counts how often the slots were exchanged. Of the `awaited` slots every instance has to be Ready
    when a change is done, of the others those that it has started.
    """

    serial: int
    slots: Mapping[str, str]
    deployments: Mapping[str, Deployment]
    swaps: int = 0
    awaited: tuple[str, ...] = ()

    def in_slot(self, slot: str) -> Deployment:
        """The deployment in a slot."""
        return self.deployments[self.slots[slot]]


EMPTY = State(0, dict(zip(SLOTS, DEPLOYMENTS, strict=True)), {name: Deployment() for name in DEPLOYMENTS})


class Running(NamedTuple):
    """What a deployment was started as; of the `unsure` instances nothing is known, since a change was interrupted."""

    entry: Entry
    slot: str
    recycles: Mapping[str, int] = _NONE
    unsure: tuple[str, ...] = ()


class Done(NamedTuple):
    """How the change of that serial number has gone: what has not come up."""

    serial: int = 0
    faults: tuple[Fault, ...] = ()


class Held(NamedTuple):
    """Who has locked a service on a host: a token of the command, the user and machine, its process, and since when."""

    token: str
    who: str
    machine: str
    pid: int
    since: str
    doing: str
