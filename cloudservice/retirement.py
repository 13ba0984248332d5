"""What has reached the end of its life, or will: told as warnings, never as errors.

Sources: Microsoft's retirement notices and Windows Server life cycle, the Python developer's guide.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date

from cloudservice import modules, project, spelling
from cloudservice.configuration import Configuration
from cloudservice.definition import Definition
from cloudservice.errors import ServiceError
from cloudservice.service import Role, Source

CLOUD_SERVICES = date(2027, 3, 31)
_WINDOWS = {
    "1": ("Windows Server 2008", date(2020, 1, 14)),
    "2": ("Windows Server 2008 R2", date(2020, 1, 14)),
    "3": ("Windows Server 2012", date(2023, 10, 10)),
    "4": ("Windows Server 2012 R2", date(2023, 10, 10)),
    "5": ("Windows Server 2016", date(2027, 1, 12)),
    "6": ("Windows Server 2019", date(2029, 1, 9)),
    "7": ("Windows Server 2022", date(2031, 10, 14)),
}
_PYTHON = {
    (3, 7): date(2023, 6, 27),
    (3, 8): date(2024, 10, 7),
    (3, 9): date(2025, 10, 31),
    (3, 10): date(2026, 10, 31),
    (3, 11): date(2027, 10, 31),
    (3, 12): date(2028, 10, 31),
    (3, 13): date(2029, 10, 31),
    (3, 14): date(2030, 10, 31),
}
_LONG_AGO = date(2021, 12, 23)
"""When every Python before those of the table had ended."""
_IN_PATH = re.compile(r"(?i)python[\\/. -]?(\d)[._]?(\d{1,2})?(?!\d)")
_IN_SCRIPT = re.compile(
    rb"""(?i)package/python/(\d)\.(\d+)|version\s*=\s*['"](\d)\.(\d+)|=\s*['"]python(2)(?:x86)?['"]"""
)
_AT_END = re.compile(r"(\d)\.(\d+)(?:-\d+)?$")
_IN_FILE = re.compile(rb"(?:python-)?\s*(\d)\.(\d+)")
_SCRIPT = "bin/ConfigureCloudService.ps1"


def check(defined: Definition, found: Mapping[str, Source], today: date) -> None:
    """Note what is near its end or past it in the definition and in the roles' folders."""
    read = defined.document
    wrong = f"Azure's Cloud Services (extended support) {_end(CLOUD_SERVICES, today)}"
    read.fault(
        read.root, "retired-platform", wrong, "Plan where the service goes; rolepack runs and packages it as it is"
    )
    for role, element in zip(defined.roles, defined.elements, strict=True):
        for each in element.all("Imports", "Import"):
            module = modules.KNOWN.get(each.get("moduleName", ""))
            if module is not None and module.withdrawn:
                wrong = f"Cloud Services (extended support) refuse the module {each.get('moduleName')}"
                read.fault(each, "retired-module", wrong, "Remove the import, its settings and its certificates")
        source = found.get(role.name)
        if source is not None and source.language == "Python":
            for version, where in _ended_pythons(role, source, today):
                wrong = f"role '{role.name}' is for Python {version}, by its {where}; it {_end_of_python(version)}"
                read.fault(element, "retired-python", wrong, "Move it to a Python that is maintained")


def check_configuration(configured: Configuration, today: date) -> None:
    """Note an operating system past its end."""
    read = configured.document
    if configured.os_family not in _WINDOWS:
        wrong = f"osFamily '{configured.os_family}' is none that is known"
        read.fault(read.root, "unknown-os", wrong, f"Write one of {', '.join(_WINDOWS)}")
        return
    name, end = _WINDOWS[configured.os_family]
    if end <= today:
        said = f"osFamily {configured.os_family}" if read.root.get("osFamily") else "without an osFamily, it"
        wrong = f"{said} is {name}, which {_end(end, today)}"
        read.fault(read.root, "retired-os", wrong, 'Write osFamily="7", or the newest that the roles run on')


def _ended_pythons(role: Role, source: Source, today: date) -> Iterator[tuple[str, str]]:
    """The versions past their end that the role names, and what names them."""
    told = set()
    for version, where in _pythons(role, source):
        name = ".".join(map(str, version))
        if _python_end(version) <= today and name not in told:
            told.add(name)
            yield name, where


def _pythons(role: Role, source: Source) -> Iterator[tuple[tuple[int, ...], str]]:
    variables = [*role.environment, *(variable for task in role.tasks for variable in task.environment)]
    for match in (_IN_PATH.search(each.value or "") for each in variables if each.name.upper() == "PYTHON"):
        yield from _version(match, "variable PYTHON")
    if project.is_python(source.project):
        with contextlib.suppress(ServiceError):  # which is told as a fault of the project
            for text in project.interpreters(source.project):
                yield from _version(_AT_END.search(text), source.project.name)
    for name, pattern in ((_SCRIPT, _IN_SCRIPT), (".python-version", _IN_FILE), ("runtime.txt", _IN_FILE)):
        path = spelling.find(source.folder, name)
        if path.is_file():
            yield from _version(pattern.search(path.read_bytes()), name)


def _version(match: re.Match[str] | re.Match[bytes] | None, where: str) -> Iterable[tuple[tuple[int, ...], str]]:
    if match is None:
        return
    numbers = tuple(int(group) for group in match.groups() if group is not None)
    if numbers in {(2,), (3,)} or len(numbers) == 2:
        yield numbers, where


def _python_end(version: tuple[int, ...]) -> date:
    """When a version ended; of the newer ones that is not known yet."""
    if version == (3,):
        return date.max
    known = _PYTHON.get((version[0], version[1] if len(version) > 1 else 0))
    return known or (_LONG_AGO if version < min(_PYTHON) else date.max)


def _end_of_python(version: str) -> str:
    numbers = tuple(map(int, version.split(".")))
    end = _python_end(numbers)
    return "ended long ago" if end == _LONG_AGO else f"ended on {_day(end)}"


def _end(day: date, today: date) -> str:
    return f"{'ended' if day <= today else 'ends'} on {_day(day)}"


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
