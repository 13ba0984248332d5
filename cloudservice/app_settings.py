"""The settings of an app, which it sees as environment variables, in the build and when it runs.

They lie in the app's folder: in `.env`, over that in `appsettings.json`, the list that
`az webapp config appsettings list` prints, and over both the secrets, which lie apart, readable by the user alone.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from cloudservice import appservice
from cloudservice.appservice import STATE
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown, write_whole

FILE = "appsettings.json"
DOTENV = ".env"
SECRETS = "secrets.json"


class Setting(NamedTuple):
    """One setting, and the file that it stands in."""

    name: str
    value: str
    origin: Path
    is_secret: bool


def load(folder: Path) -> dict[str, Setting]:
    """The settings of the app in a folder, by name; ServiceError with every fault in their files."""
    found: dict[str, Setting] = {}
    faults: list[Fault] = []
    for path, read in ((folder / DOTENV, _dotenv), (folder / FILE, _listed), (secrets_file(folder), _listed)):
        if path.is_file():
            for name, value in read(path, faults).items():
                found[name] = Setting(name, value, path, path.name == SECRETS)
    if faults:
        raise ServiceError(*faults)
    return found


def environment(folder: Path) -> dict[str, str]:
    """The settings as environment variables."""
    return {name: setting.value for name, setting in load(folder).items()}


def secrets_file(folder: Path) -> Path:
    """Where the secrets of an app lie."""
    return folder / STATE / SECRETS


def change(folder: Path, values: Mapping[str, str], secrets: Mapping[str, str]) -> None:
    """Set values in appsettings.json, and secrets apart; what is made a secret leaves appsettings.json."""
    faults = [fault for name in (*values, *secrets) if (fault := _bad_name("--set", name))]
    load(folder)
    if faults:
        raise ServiceError(*faults)
    appservice.home_of(folder).make()
    _rewrite(folder / FILE, values, remove=secrets)
    if secrets or secrets_file(folder).is_file():
        _rewrite(secrets_file(folder), secrets, remove=values)


def _rewrite(path: Path, values: Mapping[str, str], remove: Mapping[str, str]) -> None:
    """Change a list of settings; other keys of an entry, such as slotSetting, stay."""
    entries = _entries(path, []) if path.is_file() else []
    kept = [entry for entry in entries if entry["name"] not in remove]
    by_name = {entry["name"]: entry for entry in kept}
    for name, value in values.items():
        if name in by_name:
            by_name[name]["value"] = value
        else:
            kept.append({"name": name, "slotSetting": False, "value": value})
    if kept == entries and not values:
        return
    if path.name == SECRETS and not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))  # a file keeps its mode when it is written anew
    write_whole(path, json.dumps(kept, indent=2) + "\n")


def _dotenv(path: Path, faults: list[Fault]) -> dict[str, str]:
    import dotenv.parser  # loads slowly, and few apps have such a file

    found = {}
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for binding in dotenv.parser.parse_stream(file):
            if binding.error:
                wrong, remedy = "it is no setting", "Write NAME=value"
                faults.append(Fault(shown(path), wrong, remedy, binding.original.line))
            elif binding.key is not None and binding.value is not None:
                found[binding.key] = binding.value
    return found


def _listed(path: Path, faults: list[Fault]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in _entries(path, faults)}


def _entries(path: Path, faults: list[Fault]) -> list[dict[str, Any]]:
    """The entries of a list of settings: that of `az`, or an object of names and values."""
    where = shown(path)
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", None)
        faults.append(Fault(where, "it is no JSON", "Write what `az webapp config appsettings list` prints", line))
        return []
    if isinstance(found, dict):
        found = [{"name": name, "value": value} for name, value in found.items()]
    entries = []
    for entry in found if isinstance(found, list) else [None]:
        if not _is_setting(entry):
            wrong = f"{json.dumps(entry)[:80]} is no setting" if path.name != SECRETS else "an entry is no setting"
            faults.append(Fault(where, wrong, 'Write {"name": "NAME", "value": "text"}'))
        elif fault := _bad_name(where, entry["name"]):
            faults.append(fault)
        else:
            entries.append({**entry, "value": _text(entry["value"])})
    return entries


def _is_setting(entry: Any) -> TypeGuard[dict[str, Any]]:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and isinstance(entry.get("value"), str | int | float | bool)
    )


def _text(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bad_name(where: str, name: str) -> Fault | None:
    if name and "=" not in name and "\0" not in name:
        return None
    return Fault(where, f"'{name}' is no name of a setting", "Use letters, digits and underscores")
