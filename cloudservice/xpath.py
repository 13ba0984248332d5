"""The closed set of xpaths that a RoleInstanceValue may hold.

Source: Microsoft's page on the xpath values of a role configuration; there is no general XPath here.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any, NamedTuple

from cloudservice import modules
from cloudservice.service import Role

_INSTANCE = "/RoleEnvironment/CurrentInstance/"
_SIMPLE = {
    "/RoleEnvironment/Deployment/@id": ("deployment", "id"),
    "/RoleEnvironment/Deployment/@emulated": ("deployment", "emulated"),
    f"{_INSTANCE}@id": ("current", "id"),
    f"{_INSTANCE}@roleName": ("current", "role"),
    f"{_INSTANCE}@updateDomain": ("current", "update_domain"),
    f"{_INSTANCE}@faultDomain": ("current", "fault_domain"),
}
_NAMED = re.compile(
    re.escape(_INSTANCE) + r"(?:"
    r"(?P<settings>ConfigurationSettings/ConfigurationSetting)|"
    r"(?P<local_resources>LocalResources/LocalResource)|"
    r"(?P<endpoints>Endpoints/Endpoint))"
    r"\[@name=(?:'(?P<single>[^']*)'|\"(?P<double>[^\"]*)\")\]/@(?P<attribute>\w+)"
)
_ATTRIBUTES = {
    "settings": {"value": ""},
    "local_resources": {"path": "path", "sizeInMB": "size_in_mb"},
    "endpoints": {"address": "address", "port": "port", "protocol": "protocol"},
}
_FORMS = [
    f"{_INSTANCE}{elements}[@name='…']/@{attribute}"
    for elements, group in (
        ("ConfigurationSettings/ConfigurationSetting", "settings"),
        ("LocalResources/LocalResource", "local_resources"),
        ("Endpoints/Endpoint", "endpoints"),
    )
    for attribute in _ATTRIBUTES[group]
]
_NOUNS = {"settings": "setting", "local_resources": "local store", "endpoints": "endpoint"}

Guess = Callable[[str, Iterable[str]], str | None]
Place = tuple[str, ...]
"""The keys that lead to the value in a role environment document."""


def place(xpath: str) -> Place | None:
    """Where the value lies in a role environment document; None for an xpath outside the documented set."""
    if xpath.strip() in _SIMPLE:
        return _SIMPLE[xpath.strip()]
    match = _NAMED.fullmatch(xpath.strip())
    if match is None:
        return None
    group = next(name for name in _ATTRIBUTES if match[name])
    key = _ATTRIBUTES[group].get(match["attribute"])
    if key is None:
        return None
    name = match["single"] if match["single"] is not None else match["double"]
    return ("current", group, name, key) if key else ("current", group, name)


class Names(NamedTuple):
    """What a role's xpaths may name: by the group of a place. Where a module is not known, they may name more."""

    groups: Mapping[str, Set[str]]
    are_all: bool


def names_of(role: Role) -> Names:
    """What the role has, and what its imported modules bring."""
    brought = modules.brought(role.imports)
    groups = {
        "settings": {*role.settings, *brought.settings, *brought.optional},
        "local_resources": {"DiagnosticStore", *(store.name for store in role.local_storage)},
        "endpoints": {endpoint.name for endpoint in modules.endpoints_of(role)},
    }
    return Names(groups, modules.are_known(role))


def missing(xpath: str, names: Names, meant: Guess) -> tuple[str, str] | None:
    """What is wrong with an xpath, and what to do; None if all that it names is there.

    `meant` guesses which of some names one that is not there stands for.
    """
    found = place(xpath)
    if found is None:
        near = meant(xpath.strip(), _SIMPLE)
        remedy = f"Write {near}, if that was meant" if near else f"Write one of {', '.join((*_SIMPLE, *_FORMS))}"
        return f"is '{xpath}', which is none of the paths there are", remedy
    if len(found) < 3:
        return None
    group, name = found[1:3]
    if name in names.groups[group] or not names.are_all:
        return None
    near = meant(name, names.groups[group])
    there = ", ".join(sorted(names.groups[group])) or "none"
    remedy = f"Write '{near}', if that was meant" if near else f"Name one that is: {there}"
    return f"asks for the {_NOUNS[group]} '{name}', which is not there", remedy


def evaluate(xpath: str, document: Mapping[str, Any]) -> str:
    """The value of a checked xpath in a role environment document, as the text a process sees.

    It is empty for what an imported module would bring, since modules do not run here.
    """
    value: Any = document
    for key in place(xpath) or ():
        value = value.get(key, {})
    if value == {}:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
