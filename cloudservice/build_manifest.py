"""What the build of an app tells its start: oryx-manifest.toml, flat, and every value a string."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

from cloudservice.appservice import MANIFEST
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown

Manifest = Mapping[str, str]
NAMES = ("virtualEnvName", "packagedir", "compressedVirtualEnvFile")
"""What names a place in the app."""


def render(manifest: Manifest) -> str:
    """The file's text."""
    return "".join(f"{key}={json.dumps(value, ensure_ascii=False)}\n" for key, value in manifest.items())


def load(folder: Path) -> Manifest | None:
    """The manifest of a built app; None if there is none, ServiceError if it cannot be read."""
    path = folder / MANIFEST
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ServiceError(Fault(shown(path), f"it is no TOML: {error}", "Build the app again")) from None
    manifest = {key: str(value) for key, value in found.items()}
    faults = [
        Fault(shown(path), f"{key} is '{manifest[key]}', which leads out of the app", "Build the app again")
        for key in NAMES
        if Path(manifest.get(key, "")).is_absolute() or ".." in Path(manifest.get(key, "")).parts
    ]
    if faults:
        raise ServiceError(*faults)
    return manifest
