"""What appcmd lists: objects, by their name or by what they have."""

from collections.abc import Iterable
from typing import Any

import iis
from iis import State

Row = tuple[str, dict[str, Any]]
"""The name of an object, and all that can be asked of it."""


def pools(state: State, asked: Any) -> None:
    """The pools."""
    own = {"MgdVersion": "v4.0", "MgdMode": "Integrated"}
    rows = ((name, {**own, **about}) for name, about in state["pools"].items())
    show("apppool", rows, asked, "MgdVersion", "MgdMode", "state")


def sites(state: State, asked: Any) -> None:
    """The sites."""
    rows = ((name, {"SITE.ID": about["id"], **about}) for name, about in state["sites"].items())
    show("site", rows, asked, "id", "bindings", "state")


def apps(state: State, asked: Any) -> None:
    """The applications of the sites."""
    rows = (
        (f"{site}{path}", {"SITE.NAME": site, "path": path, **app})
        for site, about in state["sites"].items()
        for path, app in about["apps"].items()
    )
    show("app", rows, asked, "applicationPool")


def vdirs(state: State, asked: Any) -> None:
    """The virtual directories of the applications."""
    rows = (
        (
            f"{site}{app.rstrip('/')}{path}",
            {"SITE.NAME": site, "APP.NAME": f"{site}{app}", "path": path, **beside[path]},
        )
        for site, app, path, beside in iis.every_vdir(state)
    )
    show("vdir", rows, asked, "physicalPath")


def show(kind: str, rows: Iterable[Row], asked: Any, *shown: str) -> None:
    """List what is asked for; without a word, AppcmdError if the one that is named is not there."""
    wanted = {name.lower(): value.lower() for name, value in asked.options.items() if name.lower() != "text"}
    if asked.named:
        wanted[f"{kind}.name"] = asked.named.lower()
    found = [about for about in (lowered(kind, row) for row in rows) if has(about, wanted)]
    for about in found:
        print(text(kind, about, asked.get("text").lower(), shown))
    if asked.named and not found:
        raise iis.AppcmdError(1)


def lowered(kind: str, row: Row) -> dict[str, str]:
    """All that can be asked of an object, by names in small letters."""
    name, about = row
    return {f"{kind}.name": name, **{key.lower(): str(value) for key, value in about.items()}}


def has(about: dict[str, str], wanted: dict[str, str]) -> bool:
    """Whether an object is as wanted."""
    return all(about.get(key, "").lower() == value for key, value in wanted.items())


def text(kind: str, about: dict[str, str], wanted: str, shown: tuple[str, ...]) -> str:
    """The line for an object, or the one thing that is wanted of it."""
    if wanted:
        return about.get(wanted, about.get(f"{kind}.{wanted}", ""))
    details = ",".join(f"{key}:{about.get(key.lower(), '')}" for key in shown)
    return f'{kind.upper()} "{about[f"{kind}.name"]}" ({details})'
