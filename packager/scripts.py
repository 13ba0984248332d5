"""The scripts that only Windows can run: which of them a role uses, and which are not as rolepack writes them.

Every start of the emulator asks this, so it renders no template: the scripts take nothing from theirs but a version.
"""

import re
from pathlib import Path, PureWindowsPath

from cloudservice import command_rules, commandline, spelling
from cloudservice.service import Role, Source

BATCH, CONFIGURES, LAUNCHES = "ps", "configurecloudservice", "launchworker"
"""The support scripts, without endings and in lower case."""
_TEMPLATES = Path(__file__).parent.parent / "templates"
_ENDINGS = {".ps1", ".py", ".cmd", ".bat"}
_OF_BOTH = ("support/both/bin/ps.cmd.j2", "support/both/bin/ConfigureCloudService.ps1.j2")
_OF_WORKERS = ("support/worker/bin/LaunchWorker.ps1.j2",)
_VERSION = re.compile(rb"'(?:\{\{ python \}\}|\d+\.\d+\.\d+)'")


def names(command_line: str) -> set[str]:
    """The names of the scripts in a command line, without endings and in lower case."""
    paths = map(PureWindowsPath, commandline.words(command_line))
    return {path.stem.lower() for path in paths if path.suffix.lower() in _ENDINGS}


def used(role: Role) -> set[str]:
    """The scripts that the role's command lines name; the usual ones if it starts none."""
    tasks = {name for task in role.tasks for name in names(task.command_line)} or {BATCH, CONFIGURES}
    return tasks | (names(role.entry_point or "") if role.entry_point else {BATCH, LAUNCHES})


def foreign(source: Source) -> Path | None:
    """The role's ConfigureCloudService.ps1, if it is another than ours and so knows nothing of a bundle's wheels."""
    script = spelling.find(source.folder, "bin/ConfigureCloudService.ps1")
    return script if is_foreign(script) else None


def is_foreign(script: Path) -> bool:
    """Whether a script is there that does not run its Python twin, as ours do."""
    return script.is_file() and command_rules.runs_itself(script)


def of_windows(role: Role, source: Source) -> dict[str, Path]:
    """The support scripts that the role uses, has, and only Windows can run, by their templates."""
    wanted = used(role)
    files = {name: name.rpartition("bin/")[2].removesuffix(".j2") for name in (*_OF_BOTH, *_OF_WORKERS)}
    places = {name: spelling.find(source.folder, f"bin/{file}") for name, file in files.items()}
    return {name: place for name, place in places.items() if place.stem.lower() in wanted and place.is_file()}


def changed(role: Role, source: Source) -> dict[str, Path]:
    """Those of them that are not as rolepack's own templates have them."""
    there = of_windows(role, source)
    return {
        name: place for name, place in there.items() if not same(place.read_bytes(), (_TEMPLATES / name).read_bytes())
    }


def same(first: bytes, second: bytes) -> bool:
    """Whether two scripts, or templates of them, say the same, whatever their line ends and the version of Python."""
    one, other = (_VERSION.sub(b"", content.replace(b"\r\n", b"\n")) for content in (first, second))
    return one == other
