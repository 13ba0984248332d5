r"""What a host's Python runs first, from its command line: it sees to rolepack's folder and runs the archive in it.

Programs in this folder run as LocalSystem, so nobody but administrators may ever have been able to write there: what
exists already must be rolepack's own, and belong to them. Arguments: the folder, the archive's name, and whether the
archive is the first line of the input. It stands alone: nothing of rolepack is there yet.
"""

import base64
import ctypes
import hashlib
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

MARK = ".rolepack"
"""A file in the folder, which says that it was made here."""
WANTS_ARCHIVE = "archive?"
"""What is printed where the archive is not there, or was changed."""
REFUSED = 87
"""The exit code when it says why it does not go on, in words for the user."""
_TRUSTED = {"S-1-5-18", "S-1-5-32-544"}
RIGHTS = ("*S-1-5-18:(OI)(CI)F", "*S-1-5-32-544:(OI)(CI)F", "*S-1-5-20:(OI)(CI)RX")
"""All for LocalSystem and administrators; NETWORK SERVICE reads."""


def main(given: str, name: str, *brings: str) -> None:
    """Make the folder or check it, see that the archive is whole, run it."""
    root = Path(given)
    if root.is_dir() and any(root.iterdir()):
        check(root)
    else:
        make(root)
    path = root / "agent" / name
    if brings:
        bring(path, base64.b64decode(sys.stdin.buffer.readline()))
    elif not (path.is_file() and is_whole(path)):
        print(WANTS_ARCHIVE)
        return
    sys.argv = [str(path), "session"]
    runpy.run_path(str(path), run_name="__main__")


def make(root: Path) -> None:
    """A folder that only administrators may write to, and the service account may read."""
    root.mkdir(parents=True, exist_ok=True)
    program = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "icacls.exe"
    for words in (("/setowner", "*S-1-5-32-544"), ("/inheritance:r", "/grant:r", *RIGHTS)):
        done = subprocess.run([program, root, *words, "/q"], capture_output=True, check=False)
        if done.returncode:
            refuse(f"the rights of {root} cannot be set: {done.stdout + done.stderr!r}")
    (root / MARK).touch(exist_ok=False)


def check(root: Path) -> None:
    """End if the folder is not rolepack's, or belongs to somebody whom this account has no reason to trust."""
    if not (root / MARK).exists():
        refuse(f"{root} is there already, and is not rolepack's: name another folder as `root` in hosts.yaml")
    if sys.platform == "win32" and owner(root) not in {*_TRUSTED, owner(Path.home())}:
        refuse(f"{root} belongs to {owner(root)}, who is no administrator: remove it, or name another `root`")


def refuse(why: str) -> NoReturn:
    """End, and say why."""
    print(why, file=sys.stderr)
    sys.exit(REFUSED)


def owner(path: Path) -> str:
    """The SID that a file belongs to. Source: Microsoft's page on GetNamedSecurityInfo."""
    library: Any = ctypes.WinDLL("advapi32")  # type: ignore[attr-defined, unused-ignore]
    sid, descriptor, text = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_wchar_p()
    file, of_owner = 1, 1
    found = ctypes.byref(sid), None, None, None, ctypes.byref(descriptor)
    library.GetNamedSecurityInfoW(ctypes.c_wchar_p(str(path)), file, of_owner, *found)
    library.ConvertSidToStringSidW(sid, ctypes.byref(text))
    return str(text.value)


def is_whole(path: Path) -> bool:
    """Whether the archive is what its name says."""
    return f"{hashlib.sha256(path.read_bytes()).hexdigest()[:32]}.pyz" == path.name


def bring(path: Path, content: bytes) -> None:
    """Write the archive, which has its name only when it is whole."""
    path.parent.mkdir(exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_bytes(content)
    part.replace(path)
    if not is_whole(path):
        refuse("the archive has arrived damaged: run the command again")


if __name__ == "__main__":
    main(*sys.argv[1:])
