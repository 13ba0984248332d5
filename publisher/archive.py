"""The programs of a host as one archive, the same bytes wherever it is made."""

import functools
import hashlib
import io
import zipfile
from pathlib import Path
from typing import NamedTuple

_HERE = Path(__file__).parent
SHARED = ("__init__", "errors", "files", "group", "job", "journal", "life", "lock", "names", "plain")
"""The modules of cloudservice that need nothing but the standard library, and that these programs use."""
_MAIN = "import sys\nfrom publisher.agent.main import main\n\nmain(sys.argv[0], sys.argv[1:])\n"


class Archive(NamedTuple):
    """A zip that Python runs, and the name that says what is in it."""

    name: str
    content: bytes


@functools.cache
def made() -> Archive:
    """The archive of this version of rolepack."""
    texts = {"__main__.py": _MAIN, "publisher/__init__.py": ""}
    for path in sorted((_HERE / "agent").glob("*.py")):
        texts[f"publisher/agent/{path.name}"] = path.read_text(encoding="utf-8")
    for name in SHARED:
        texts[f"cloudservice/{name}.py"] = (_HERE.parent / "cloudservice" / f"{name}.py").read_text(encoding="utf-8")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    content = file.getvalue()
    return Archive(f"{hashlib.sha256(content).hexdigest()[:32]}.pyz", content)
