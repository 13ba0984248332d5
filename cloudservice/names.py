"""Names that become folders, files and keys, on Windows and elsewhere."""

import re

RULE = "Use letters, digits, '_', '.' and '-', the last two not first, and none of Windows' reserved names"
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?")
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?")
_LONGEST = 100


def is_name(text: str) -> bool:
    """Whether a service, a role or a local store may be called so."""
    return len(text) <= _LONGEST and bool(_NAME.fullmatch(text)) and not is_reserved(text)


def is_reserved(text: str) -> bool:
    """Whether Windows takes it for a device, whatever stands behind a dot."""
    return bool(_RESERVED.fullmatch(text))
