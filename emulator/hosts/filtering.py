"""What IIS's request filtering refuses before anybody else sees a request."""

import re

from emulator.hosts.http1 import Refused, Request
from emulator.hosts.urls import Url
from emulator.hosts.webconfig import Filtering

_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")


def check(filtering: Filtering, request: Request, url: Url) -> None:
    """Refused, with the status that IIS has for it, if a request is not to be served, whatever its path."""
    if len(url.raw.partition("?")[0]) > filtering.most_url:
        raise Refused(404, "the address is too long (404.14)")
    if len(url.query) > filtering.most_query:
        raise Refused(404, "the query is too long (404.15)")
    if (request.length or 0) > filtering.most_content:
        raise Refused(413, f"its body has more than {filtering.most_content} bytes (maxAllowedContentLength)")
    if (filtering.verbs or not filtering.allows_other_verbs) and not _allowed(
        filtering.verbs, request.method.upper(), otherwise=filtering.allows_other_verbs
    ):
        raise Refused(404, "the verb is denied (404.6)")
    if filtering.query_sequences:
        lower = url.query.lower()
        if any(sequence in lower for sequence in filtering.query_sequences):
            raise Refused(404, "a sequence in the query is denied (404.18)")
    for name, most in filtering.headers:
        if any(len(value) > most for value in request.all(name)):
            raise Refused(431, f"its header {name} is too long (404.10)")


def check_path(filtering: Filtering, path: str) -> None:
    """Refused if no request may ask for a decoded path."""
    if not filtering.allows_double_escaping and ("+" in path or _ESCAPE.search(path)):
        raise Refused(404, "the address is escaped twice (404.11)")
    if not filtering.allows_high_bits and not path.isascii():
        raise Refused(404, "the address has characters above ASCII (404.12)")
    path = path.lower()
    if any(sequence in path for sequence in filtering.sequences):
        raise Refused(404, "a sequence in the address is denied (404.5)")
    # Windows takes a name with dots or blanks behind it for the one without.
    segments = [segment.partition(":")[0].rstrip(". ") for segment in path.split("/")]
    if not filtering.hidden.isdisjoint(segments):
        raise Refused(404, "a segment of the address is hidden (404.8)")
    _, dot, extension = segments[-1].rpartition(".")
    named = dot or not filtering.allows_other_extensions  # "." is what has none
    if named and not _allowed(
        filtering.extensions, f".{extension}" if dot else ".", otherwise=filtering.allows_other_extensions
    ):
        raise Refused(404, "the extension is denied (404.7)")


def _allowed(listed: tuple[tuple[str, bool], ...], name: str, *, otherwise: bool) -> bool:
    return next((allowed for each, allowed in listed if each == name), otherwise)
