"""Changes of a service's files: roles, counts and settings. Every other byte of a file stays."""

import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import quoteattr

from cloudservice import (
    configuration,
    configuration_rules,
    definition,
    definition_rules,
    document,
    edit,
    folder,
    location,
    modules,
)
from cloudservice.configuration import Configuration
from cloudservice.definition import Definition
from cloudservice.edit import Node, Source, UneditableError
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown, write_whole
from cloudservice.service import Role

Change = Callable[[Source], bytes | None]
"""Gives the whole new file; None if there is nothing to change."""
_ROLES = ("WebRole", "WorkerRole", "Role")


@dataclass(frozen=True, slots=True)
class Texts:
    """The files that describe a service, as they are on disk or will be: the configurations by name."""

    definition: Path
    configurations: Mapping[str, Path]
    contents: Mapping[Path, bytes]

    def after(self, plan: "Plan") -> "Texts":
        """The files as a plan leaves them."""
        return replace(self, contents={**self.contents, **plan.contents})


@dataclass(frozen=True, slots=True)
class Addition:
    """A role to be: its entry in the definition and, by name, in every configuration; its probe, if it has one.

    Entries are given as edit.Source.append wants them.
    """

    role: str
    definition: str
    configurations: Mapping[str, str]
    probe: str = ""


class Entry(NamedTuple):
    """An element to be, given as edit.Source.append wants it, and the names of those that are to hold it."""

    text: str
    parents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """New contents of files, nothing written yet; for each file what changes in it, in words.

    `left` are the faults that the service has afterwards and did not have before.
    """

    contents: Mapping[Path, bytes]
    said: Mapping[Path, tuple[str, ...]]
    left: tuple[Fault, ...] = ()


def read(root: Path) -> Texts:
    """The files of the service in a folder."""
    path, configurations = location.definition_file(root), folder.configurations(root)
    return Texts(path, configurations, {one: document.read(one) for one in (path, *configurations.values())})


def apply(path: Path, content: bytes, *changes: Change) -> bytes:
    """The content of a file after some changes, one after the other. ServiceError if it cannot be edited."""
    try:
        for change in changes:
            content = change(edit.parse(content)) or content
    except UneditableError as error:
        raise ServiceError(Fault(shown(path), str(error), "Save it as UTF-8")) from None
    return content


def with_element(entry: str, *parents: str, role: str | None = None) -> Change:
    """Adds an element at the end of the root or of a role, below `parents`, which are made where they are missing."""

    def change(source: Source) -> bytes | None:
        place = source.root if role is None else _role(source, role)
        if place is None:
            return None
        missing = list(parents)
        while missing and (below := next(place.named(missing[0]), None)) is not None:
            place = below
            missing.pop(0)
        fragment = entry
        for name in reversed(missing):
            fragment = f"<{name}>\n{textwrap.indent(fragment, '  ')}</{name}>\n"
        return source.append(place, fragment)

    return change


def without_role(name: str) -> Change:
    """Removes the entry of a role, and any other of that name."""

    def change(source: Source) -> bytes | None:
        content = None
        found = _role(source, name)
        while found is not None:
            content = source.remove(found)
            source = edit.parse(content)
            found = _role(source, name)
        return content

    return change


def only_roles(path: Path, content: bytes, roles: Collection[str]) -> bytes:
    """A configuration without the entries of other roles."""
    named = configuration.parse(path, content).roles
    return apply(path, content, *(without_role(name) for name in named if name not in roles))


def without_probe(name: str) -> Change:
    """Removes a probe, and the list of probes with the last of them."""

    def change(source: Source) -> bytes | None:
        for probes in source.root.named("LoadBalancerProbes"):
            found = next(probes.named("LoadBalancerProbe", name=name), None)
            if found is not None:
                return source.remove(probes if len(probes.children) == 1 else found)
        return None

    return change


def with_instances(role: str, count: int) -> Change:
    """Gives a role that is configured another number of instances."""

    def change(source: Source) -> bytes | None:
        found = _role(source, role)
        if found is None:
            return None
        instances = next(found.named("Instances"), None)
        if instances is None:
            return source.append(found, f'<Instances count="{count}" />\n')
        return source.set_attribute(instances, "count", str(count))

    return change


def with_setting(role: str, name: str, value: str) -> Change:
    """Gives a setting of a role that is configured a value, for the first time or another one."""

    def change(source: Source) -> bytes | None:
        found = _role(source, role)
        if found is None:
            return None
        settings = next(found.named("ConfigurationSettings"), None)
        setting = next(settings.named("Setting", name=name), None) if settings else None
        if setting is not None:
            return source.set_attribute(setting, "value", value)
        entry = f"<Setting name={quoteattr(name)} value={quoteattr(value)} />\n"
        return with_element(entry, "ConfigurationSettings", role=role)(source)

    return change


def plan_values(root: Path, role: str, instances: int | None, settings: Mapping[str, str], only: str | None) -> Plan:
    """Set the instance count and settings of a role in one configuration, or in all that have them.

    A setting that no configuration has yet goes to all. ServiceError, and no plan, if the role or a setting is not
    there or if a file would break a rule that it keeps now.
    """
    defined = definition.load(location.definition_file(root))
    known = defined.role(role)
    _check_settings(known, settings)
    paths = folder.configurations(root) if only is None else {only: folder.configuration_file(root, only)}
    configured = {path: configuration.load(path) for path in paths.values()}
    having = [path for path, one in configured.items() if role in one.roles]
    if not having:
        where = shown(next(iter(paths.values()))) if only else shown(root)
        raise ServiceError(Fault(where, f"role '{role}' is not configured", f'Add <Role name="{role}"> to it'))
    contents, said = {}, {}
    for path in having:
        chosen = {name: value for name, value in settings.items() if _belongs(name, role, path, having, configured)}
        changes = [with_setting(role, name, value) for name, value in chosen.items()]
        words = [f"setting {name}" for name in chosen]
        if instances is not None:
            changes.append(with_instances(role, instances))
            words.append(f"{instances} instance{'' if instances == 1 else 's'}")
        if changes:
            contents[path], said[path] = apply(path, path.read_bytes(), *changes), tuple(words)
    broken = _new_faults(defined, defined, {path: configured[path] for path in contents}, contents)
    if broken:
        raise ServiceError(*broken)
    return Plan(contents, said)


def plan_addition(texts: Texts, addition: Addition) -> Plan:
    """Add a role to the definition and to every configuration. ServiceError if a file would break a new rule."""
    path, role = texts.definition, addition.role
    defined = definition.parse(path, texts.contents[path])
    there = {one.name.lower(): one.name for one in defined.roles}
    if role.lower() in there:
        wrong = f"there is a role '{there[role.lower()]}' already"
        raise ServiceError(Fault(shown(path), wrong, "Choose another name"))
    before = {one: configuration.parse(one, texts.contents[one]) for one in texts.configurations.values()}
    remedy = "Remove it there, or choose another name"
    faults = [
        Fault(shown(one), f"it configures a role '{name}' already", remedy, each.line)
        for one, configured in before.items()
        for name, each in configured.elements.items()
        if name.lower() == role.lower()
    ]
    changes = [with_element(addition.probe, "LoadBalancerProbes")] if addition.probe else []
    changes.append(with_element(addition.definition))
    contents = {path: apply(path, texts.contents[path], *changes)}
    for name, one in texts.configurations.items():
        contents[one] = apply(one, texts.contents[one], with_element(addition.configurations[name]))
    after = definition.parse(path, contents[path])
    faults += _beyond(_faults_of(after), _faults_of(defined))
    faults += _new_faults(defined, after, before, contents)
    if faults:
        raise ServiceError(*faults)
    return Plan(contents, dict.fromkeys(contents, (f"role {role}",)))


def plan_elements(texts: Texts, role: str, entries: Sequence[Entry]) -> Plan:
    """Add elements to a role of the definition.

    ServiceError if that would break a new rule.
    """
    if not entries:
        return Plan({}, {})
    path = texts.definition
    content = texts.contents[path]
    changed = apply(path, content, *(with_element(entry.text, *entry.parents, role=role) for entry in entries))
    faults = _beyond(_faults_of(definition.parse(path, changed)), _faults_of(definition.parse(path, content)))
    if faults:
        raise ServiceError(*faults)
    return Plan({path: changed}, {})


def plan_removal(root: Path, role: str) -> Plan:
    """Remove a role from the definition and from every configuration, and the probes that no other role uses.

    What names it still is in `left`.
    """
    path = location.definition_file(root)
    defined = definition.load(path)
    known = defined.role(role)
    before = {one: configuration.load(one) for one in folder.configurations(root).values()}
    others = {endpoint.probe for one in defined.roles if one is not known for endpoint in one.endpoints}
    own = {endpoint.probe for endpoint in known.endpoints} - others
    probes = [probe.name for probe in defined.probes if probe.name in own]
    changes = [without_role(role), *map(without_probe, probes)]
    contents = {path: apply(path, path.read_bytes(), *changes)}
    having = [one for one, each in before.items() if role in each.roles]
    contents |= {one: apply(one, one.read_bytes(), without_role(role)) for one in having}
    words = f"without role {role}"
    said = {path: (words, *(f"probe {name}" for name in probes)), **dict.fromkeys(having, (words,))}
    remaining = definition.parse(path, contents[path])
    left = _beyond(_faults_of(remaining), _faults_of(defined))
    left += _new_faults(defined, remaining, before, contents)
    return Plan(contents, said, tuple(left))


def write(plan: Plan) -> None:
    """Write every file of a plan, each whole; a link stays a link."""
    for path, content in plan.contents.items():
        write_whole(path.resolve(), content)


def _role(source: Source, name: str) -> Node | None:
    return next(source.root.named(*_ROLES, name=name), None)


def _check_settings(role: Role, settings: Mapping[str, str]) -> None:
    """The settings are declared, and their values can stand in XML; no value is ever told."""
    brought = modules.brought(role.imports)
    declared = (*role.settings, *brought.settings, *brought.optional)
    faults = []
    for name, value in settings.items():
        if name not in declared and modules.are_known(role):
            remedy = f'Add <Setting name="{name}" /> to its ConfigurationSettings in the definition and everywhere else'
            if declared:
                remedy = f"{remedy}, or choose from {', '.join(declared)}"
            faults.append(Fault("--setting", f"role '{role.name}' does not declare the setting '{name}'", remedy))
        if not edit.is_text(value):
            wrong = f"the value of '{name}' holds a character that XML cannot"
            faults.append(Fault("--setting", wrong, "Encode it, in base64 for example"))
    if faults:
        raise ServiceError(*faults)


def _belongs(
    name: str, role: str, path: Path, having: Iterable[Path], configured: Mapping[Path, Configuration]
) -> bool:
    """Whether a setting is set in a file: it is there, or it is in none of those that have the role."""
    there = [one for one in having if name in configured[one].roles[role].settings]
    return path in there or not there


def _new_faults(
    defined: Definition, after: Definition, before: Mapping[Path, Configuration], contents: Mapping[Path, bytes]
) -> list[Fault]:
    """The errors that configurations get when they and the definition change; one without new content stays."""
    new = ((path, configuration.parse(path, contents.get(path) or path.read_bytes())) for path in before)
    return [fault for path, one in new for fault in _beyond(_faults(after, one), _faults(defined, before[path]))]


def _faults_of(defined: Definition) -> list[Fault]:
    definition_rules.check(defined)
    return defined.document.faults


def _faults(defined: Definition, configured: Configuration) -> list[Fault]:
    configuration_rules.check(configured)
    configuration_rules.check_pair(defined, configured)
    return configured.document.faults


def _beyond(now: Iterable[Fault], before: Iterable[Fault]) -> list[Fault]:
    """The errors that were not there before, whatever their line is now."""
    known = {(fault.rule, fault.wrong) for fault in before}
    return [fault for fault in now if fault.level == "error" and (fault.rule, fault.wrong) not in known]
