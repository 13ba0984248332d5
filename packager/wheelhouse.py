"""All wheels that the roles of a service need on the target, and a lock with hashes for each role."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import parse_wheel_filename

from cloudservice.errors import Fault, ServiceError
from packager import index, store
from packager.build import build, recall
from packager.progress import Report
from packager.requirements import Asked
from packager.resolve import Pin, resolve
from packager.target import Target

_AT_ONCE = 4
"""Roles that are resolved at the same time: most of it is waiting for the index."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel in the store."""

    path: Path
    sha256: str

    @property
    def requirement(self) -> str:
        """`name==version`, from the file's name."""
        name, version, *_ = parse_wheel_filename(self.path.name)
        return f"{name}=={version}"


@dataclass(frozen=True, slots=True)
class Wheelhouse:
    """The wheels of each role, by the role's name."""

    target: Target
    roles: Mapping[str, tuple[Wheel, ...]]

    @property
    def wheels(self) -> tuple[Wheel, ...]:
        """Every wheel once, by file name."""
        distinct = {wheel.path.name: wheel for wheels in self.roles.values() for wheel in wheels}
        return tuple(distinct[name] for name in sorted(distinct))

    def lock(self, role: str) -> str:
        """The role's lock, as pip reads it with --require-hashes."""
        header = f"# The wheels of role '{role}' for {self.target.label}, made by rolepack.\n"
        # ConfigureCloudService reads this line: which Python to install, and whether the one there is right.
        header += f"# python {self.target.python} {self.target.platform}\n"
        return header + "".join(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n" for wheel in self.roles[role])


def prepare(asked: Mapping[str, Asked], target: Target, report: Report) -> Wheelhouse:
    """Resolve, fetch and build what is asked (by role) for the target.

    Raises ServiceError with every package of every role that cannot be had.
    """
    environ = index.uv_environ() if asked else {}
    faults: list[Fault] = []
    pins: dict[str, tuple[Pin, ...]] = {}
    report(f"Resolving {', '.join(asked)} for {target.label}", 0, 0)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        outcomes = {role: pool.submit(resolve, needs, target, environ) for role, needs in asked.items()}
    for role, outcome in outcomes.items():
        with _gathered(faults):
            pins[role] = outcome.result()
    files = store.fetch([pin for needed in pins.values() for pin in needed], environ, report)
    wheels = {pin: Wheel(file, pin.sha256) for pin, file in files.items() if pin.is_wheel}
    for role, pin in ((role, pin) for role, needed in pins.items() for pin in needed):
        if pin in wheels:
            continue
        with _gathered(faults):
            built = recall(pin, target)
            if built is None:
                report(f"Building {pin.name} {pin.version}", 0, 0)
                built = build(pin, files[pin], target, asked[role].path, environ)
            wheels[pin] = Wheel(built, store.hash_of(built))
    if faults:
        raise ServiceError(*faults)
    return Wheelhouse(target, {role: tuple(wheels[pin] for pin in needed) for role, needed in pins.items()})


@contextmanager
def _gathered(faults: list[Fault]) -> Iterator[None]:
    """Note the faults of one package and go on with the next, so that all are told at once."""
    try:
        yield
    except ServiceError as error:
        faults += error.faults
