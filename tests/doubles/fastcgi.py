"""The register of FastCGI as appcmd lists it and changes it."""

import html
import re
from collections.abc import Iterator

from iis import AppcmdError, State

SECTION = "system.webserver/fastcgi"
EXISTS, UNKNOWN = 183, 4312
CHANGE = re.compile(
    r"/(?P<sign>[+-]?)\[(?P<application>[^\]]*)\]"
    r"(?:\.environmentVariables\.\[(?P<variable>.*?)\](?:\.value:(?P<value>.*))?)?",
    re.IGNORECASE | re.DOTALL,
)
PAIR = re.compile(r"(\w+)='(.*?)'(?=,|$)", re.DOTALL)


def show(register: list[State]) -> str:
    """The register as XML."""
    return "\n".join(["<system.webServer>", "  <fastCgi>", *lines(register), "  </fastCgi>", "</system.webServer>"])


def lines(register: list[State]) -> Iterator[str]:
    """The lines for its applications."""
    for one in register:
        yield f"    <application {attributes({name: one[name] for name in one if name != 'variables'})}>"
        yield "      <environmentVariables>"
        for name, value in one["variables"].items():
            yield f"        <environmentVariable {attributes({'name': name, 'value': value})} />"
        yield "      </environmentVariables>"
        yield "    </application>"


def attributes(values: dict[str, str]) -> str:
    """Attributes of XML, in characters that every code page has."""
    written = " ".join(f'{name}="{html.escape(value)}"' for name, value in values.items())
    return written.encode("ascii", "xmlcharrefreplace").decode()


def change(register: list[State], words: list[str]) -> None:
    """Change the register as the options of a `set config` say."""
    for found in filter(None, map(CHANGE.fullmatch, words)):
        given = dict(PAIR.findall(found["application"]))
        if found["variable"] is not None:
            change_variable(known(register, given)["variables"], found)
        elif found["sign"] == "-":
            register.remove(known(register, given))
        elif any(is_same(one, given) for one in register):
            raise AppcmdError(EXISTS, "Cannot add duplicate collection entry of type 'application'")
        else:
            register.append({"arguments": "", **given, "variables": {}})


def known(register: list[State], given: dict[str, str]) -> State:
    """The application that is meant."""
    for one in register:
        if is_same(one, given):
            return one
    raise AppcmdError(UNKNOWN, "Cannot find requested collection element.")


def is_same(one: State, given: dict[str, str]) -> bool:
    """Whether an application is the one that is meant."""
    return (one["fullPath"], one["arguments"]) == (given.get("fullPath"), given.get("arguments", ""))


def change_variable(variables: dict[str, str], found: re.Match[str]) -> None:
    """Add, change or remove a variable of an application."""
    given = dict(PAIR.findall(found["variable"]))
    name = given["name"]
    if found["sign"] == "+" and name in variables:
        raise AppcmdError(EXISTS, "Cannot add duplicate collection entry of type 'environmentVariable'")
    if found["sign"] != "+" and name not in variables:
        raise AppcmdError(UNKNOWN, "Cannot find requested collection element.")
    if found["sign"] == "-":
        del variables[name]
    else:
        variables[name] = given.get("value", "") if found["sign"] == "+" else found["value"]
