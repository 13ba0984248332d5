"""`python -P -m emulator.reread PLACE CONFIGURATION`: reads a changed configuration, in a process that ends again.

What reads XML takes as much memory as the whole emulator. Prints one JSON object: `configured` by role, or `faults`.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloudservice import changes, definition, folder, location
from cloudservice.errors import ServiceError
from cloudservice.files import write_whole
from cloudservice.plain import to_plain


def read(place: Path, path: Path) -> dict[str, Any]:
    """What the configuration says, checked against the definition in `place`."""
    try:
        if path.parent != place:  # of a bundle, which may have fewer roles than the service that it was made of
            roles = [role.name for role in definition.load(location.definition_file(place)).roles]
            write_whole(place / path.name, changes.only_roles(path, path.read_bytes(), roles))
        service = folder.load(place, folder.configuration_name(path.name) or "")
    except ServiceError as error:
        return {"faults": [to_plain(fault) for fault in error.faults]}
    return {"configured": to_plain(service.configured)}


def main(words: Sequence[str]) -> None:
    """Print what is read."""
    place, path = map(Path, words)
    sys.stdout.write(json.dumps(read(place, path)))


if __name__ == "__main__":
    main(sys.argv[1:])
