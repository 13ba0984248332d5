"""Names that become folders, files and keys, on Windows and elsewhere."""

import difflib
import re
from collections.abc import Iterable

RULE = (
    "Use up to 100 letters, digits, '_', '.' and '-', neither of the last two first, no '.' last, and none of Windows' "
    "reserved names"
)
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?")
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?")
_FORBIDDEN = re.compile(r'[<>:"/|?*\\\x00-\x1f]|[ .]$')
_LONGEST = 100
_MOST_COMPARED, _LONGEST_COMPARED = 64, 64


def is_name(text: str) -> bool:
    """Whether a service, a role or a local store may be called so."""
    return len(text) <= _LONGEST and bool(_NAME.fullmatch(text)) and not is_reserved(text)


def is_reserved(text: str) -> bool:
    """Whether Windows takes it for a device, whatever stands behind a dot."""
    return bool(_RESERVED.fullmatch(text))


def is_file_name(text: str) -> bool:
    """Whether Windows can have a file or a folder of that name."""
    return text not in {"", ".", ".."} and not is_reserved(text) and _FORBIDDEN.search(text) is None


def similar(name: str, there: Iterable[str]) -> str | None:
    """The one of the names there that was probably meant; None if none is near, or if they are too many to compare."""
    by_lower = {each.lower(): each for each in there if len(each) <= _LONGEST_COMPARED}
    if len(by_lower) > _MOST_COMPARED or len(name) > _LONGEST_COMPARED:
        return None
    found = difflib.get_close_matches(name.lower(), by_lower, 1, 0.75)
    return by_lower[found[0]] if found else None
