"""The settings of an app, which it sees as environment variables, in the build and when it runs.

They lie in the app's folder: in `.env`, over that in `appsettings.json`, the list that
`az webapp config appsettings list` prints, and over both the secrets, which lie apart, readable by the user alone.
"""

import json
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from cloudservice import appservice
from cloudservice.appservice import STATE
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown, write_whole

FILE = "appsettings.json"
DOTENV = ".env"
SECRETS = "secrets.json"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""What a shell takes for the name of a variable; others never reach the app."""


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
    for path, read in zip(files(folder), (_dotenv, _listed, _listed), strict=True):
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


def files(folder: Path) -> tuple[Path, ...]:
    """The files of settings of an app, whether they are there or not."""
    return folder / DOTENV, folder / FILE, secrets_file(folder)


def must_be_possible(folder: Path, values: Mapping[str, str], secrets: Collection[str], gone: Collection[str]) -> None:
    """ServiceError if such a change cannot be: names that no app would see, or that are not there, and confusions."""
    there = load(folder)
    faults = [fault for name in (*values, *secrets) if (fault := _bad_name("--set", name))]
    both = sorted(values.keys() & set(secrets))
    faults += [Fault("--secret", f"'{name}' is to be a secret and a setting", "Choose one") for name in both]
    for name in values:
        if name in there and there[name].is_secret and name not in both:
            remedy = f"Give it with --secret {name}, or remove it first"
            faults.append(Fault("--set", f"'{name}' is a secret, and would lie readable", remedy))
    for name in gone:
        if name not in there:
            faults.append(Fault("--remove", f"there is no setting '{name}'", "Look at what there is"))
        elif there[name].origin.name == DOTENV:
            faults.append(Fault("--remove", f"'{name}' stands in {DOTENV}", "Remove it there"))
    if faults:
        raise ServiceError(*faults)


def change(folder: Path, values: Mapping[str, str], secrets: Mapping[str, str], gone: Collection[str] = ()) -> None:
    """Set values in appsettings.json, and secrets apart; what is made a secret leaves appsettings.json."""
    must_be_possible(folder, values, secrets, gone)
    appservice.home_of(folder).make()
    _rewrite(folder / FILE, values, {*secrets, *gone})
    if secrets or secrets_file(folder).is_file():
        _rewrite(secrets_file(folder), secrets, set(gone))


def _rewrite(path: Path, values: Mapping[str, str], remove: Collection[str]) -> None:
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
    if path.name == SECRETS:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        path.chmod(0o600)  # which a file keeps when it is written anew
    write_whole(path, json.dumps(kept, indent=2) + "\n")


def _dotenv(path: Path, faults: list[Fault]) -> dict[str, str]:
    import dotenv.parser  # loads slowly, and few apps have such a file

    found = {}
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for binding in dotenv.parser.parse_stream(file):
            is_text = _is_possible(f"{binding.key}{binding.value}") and "\ufffd" not in binding.original.string
            if binding.error or not is_text:
                wrong, remedy = "it is no setting", "Write NAME=value, in UTF-8"
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
        and _is_possible(_text(entry["value"]))
    )


def _is_possible(value: str) -> bool:
    """Whether a value can be that of an environment variable."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _text(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bad_name(where: str, name: str) -> Fault | None:
    if _NAME.fullmatch(name):
        return None
    return Fault(where, f"'{name}' is no name of a setting", "Use letters, digits and underscores")
