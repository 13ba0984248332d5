"""invoke adopt: take over a cloud service that Visual Studio made."""

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context

from rolepack.command import command, counted, say

if TYPE_CHECKING:
    from cloudservice.errors import Fault
    from cloudservice.service import Role, Source
    from packager.adoption import Adoption


@command(
    positional=["folder"],
    help={
        "folder": "Folder of the solution, of the cloud service project in it, or one of their files.",
        "add": "Write the missing support files; nothing that is there is changed, but for the lists of .pyproj files.",
    },
)
def adopt(_context: Context, folder: str, add: bool = False) -> None:
    """Report what a cloud service of Visual Studio has and lacks; add what it lacks only when told to.

    Example: rolepack adopt MySolution --add
    """
    from cloudservice import folder as service
    from cloudservice.files import shown
    from cloudservice.sources import why_not_run
    from packager import adoption
    from rolepack import options

    root = adoption.find(Path(folder))
    found = adoption.look(root, options.templates(root))
    _report(found, missing=not add)
    if add:
        for path in adoption.add(found):
            say(f"  wrote {shown(path)}")
    elif found.missing or found.entries:
        what = f"the {counted(found.missing, 'missing file')}" if found.missing else "what is missing"
        lists = f", and entries in {', '.join(map(shown, found.entries))}" if found.entries else ""
        say(f"Nothing was written. `rolepack adopt {shlex.quote(folder)} --add` adds {what}{lists}.")
    done = service.check(found.root, datetime.now(UTC).date())
    left = [error for error in done.errors if add or not _is_mended(error, found)]
    for error in left:
        say(str(error))
    if left:
        say(f"{counted(left, 'error')} left to mend by hand; `rolepack check` tells them again, and warnings too.")
    elif not done.errors and (add or not found.missing):
        runs = [role.name for role in found.definition.roles if not why_not_run(role, found.sources[role.name])]
        if runs:
            place = shlex.quote(shown(found.root))
            say(f"Nothing keeps {' and '.join(runs)} from running. Next: cd {place}; rolepack emulate")
        else:
            say("None of its roles can run here.")


def _is_mended(error: "Fault", found: "Adoption") -> bool:
    """Whether adding what is missing would mend an error."""
    is_file = error.rule == "missing-file" and any(path.name.lower() in error.wrong.lower() for path in found.missing)
    return is_file or (error.rule == "not-in-project" and bool(found.entries))


def _report(found: "Adoption", missing: bool) -> None:
    """What was found; the missing files only where they are not told as written."""
    from cloudservice import project
    from cloudservice.files import shown

    cloud_project = project.find(found.root)
    made_by = f", project {cloud_project.name}" if cloud_project else ""
    names = ", ".join(found.configurations) or "none"
    say(f"Service '{found.definition.name}' in {shown(found.root)}{made_by}, configurations {names}.")
    for role in found.definition.roles:
        source = found.sources.get(role.name)
        say(f"  {role.name}: {_about(role, source) if source else 'no folder can have that name'}")
    for path in found.missing if missing else ():
        say(f"  missing: {shown(path)}")
    for remark in found.remarks:
        say(f"  {remark}.")


def _about(role: "Role", source: "Source") -> str:
    from cloudservice.files import shown
    from cloudservice.sources import why_not_packaged, why_not_run

    kind = f"{source.language} {role.kind} role".strip()
    project = f" ({source.project.name})" if source.project else ""
    place = f"in {shown(source.folder)}{project}" if source.folder.is_dir() else f"without a folder{project}"
    packages = ", requirements.txt" if (source.folder / "requirements.txt").is_file() else ", no requirements.txt"
    packaged = why_not_packaged(role, source)
    if packaged:
        return f"{kind} {place}; neither packaged nor run here: {packaged}"
    run = why_not_run(role, source)
    return f"{kind} {place}{packages if source.language == 'Python' else ''}{f'; not run here: {run}' if run else ''}"
