"""What the bundle and the run of a service are made from, for a memo."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudservice.service import Service
    from packager.policy import Need


def of_service(root: Path, loaded: "Service") -> Iterator[Path]:
    """The files of a service, and its folders for what may be added to them."""
    from cloudservice import folder
    from packager import contents, version

    yield root
    yield from (path for path in root.iterdir() if path.is_file())
    for role in loaded.roles:
        source = loaded.sources[role.name]
        virtual = folder.virtual_folders(root, role, source).values()
        for place in {source.folder, *virtual, *folder.content_folders(root, role).values()}:
            yield from contents.everything(place, contents.rules(root, place, source.language))
        # These count even where patterns leave them out.
        named = (source.folder / name for name in (contents.IGNORED, *version.FILES))
        yield from (path for path in named if path.is_file())
        if source.project is not None:
            yield source.project


def of_needs(asked: Iterable["Need"]) -> Iterator[Path]:
    """What says which packages the roles need, and the projects nearby that are among them."""
    from packager import contents

    for need in asked:
        yield from need.asked.files
        for path in need.asked.local:
            yield from contents.everything(path, contents.DEFAULT) if path.is_dir() else [path]


def variables(loaded: "Service", asked: Iterable["Need"]) -> set[str]:
    """The variables of the environment that were read."""
    from cloudservice import folder

    return {*(name for need in asked for name in need.asked.variables), *folder.content_variables(loaded)}
