"""What web.config files say of a URL: the site's own, then those of the folders down to it, each over the last."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from pathlib import Path
from typing import NamedTuple

from emulator.hosts import elements
from emulator.hosts.elements import Element

BUFFERED = 4 * 1024 * 1024
"""Bytes of an answer that IIS holds back before it sends any (responseBufferLimit)."""
_HIDDEN = "web.config bin app_code app_globalresources app_localresources app_webreferences app_data app_browsers"
HIDDEN = frozenset({*_HIDDEN.split(), ".rolepack"})
"""Segments of addresses that IIS hides, and the folder in which we keep our own files."""
_DENIED = """.asax .ascx .master .skin .browser .sitemap .config .cs .csproj .vb .vbproj .webinfo .licx .resx .resources
.mdb .vjsproj .java .jsl .ldb .dsdgm .ssdgm .lsad .ssmap .cd .dsprototype .lsaprototype .sdm .sdmDocument .mdf .ldf .ad
.dd .ldd .sd .adprototype .lddprototype .exclude .refresh .compiled .msgx .vsdisco .rules"""
DENIED = tuple((one, False) for one in _DENIED.lower().split())
"""Extensions that IIS denies."""
_LISTED = """.323 text/h323|.avi video/x-msvideo|.bmp image/bmp|.css text/css|.csv application/octet-stream
.doc application/msword|.docx application/vnd.openxmlformats-officedocument.wordprocessingml.document
.dtd text/xml|.eot application/vnd.ms-fontobject|.exe application/octet-stream|.gif image/gif
.gz application/x-gzip|.htm text/html|.html text/html|.ico image/x-icon|.jpeg image/jpeg|.jpg image/jpeg
.js application/javascript|.jpe image/jpeg|.map text/plain|.mid audio/mid|.mov video/quicktime|.mp3 audio/mpeg
.mp4 video/mp4|.mpeg video/mpeg|.mpg video/mpeg|.ogg video/ogg|.otf font/otf|.pdf application/pdf|.png image/png
.ppt application/vnd.ms-powerpoint|.rtf application/rtf|.svg image/svg+xml|.svgz image/svg+xml
.swf application/x-shockwave-flash|.tar application/x-tar|.tif image/tiff|.tiff image/tiff
.ttf application/octet-stream|.txt text/plain|.wav audio/wav|.webm video/webm|.wmv video/x-ms-wmv
.woff font/x-woff|.xls application/vnd.ms-excel|.xml text/xml|.xsd text/xml|.xsl text/xml
.xlsx application/vnd.openxmlformats-officedocument.spreadsheetml.sheet|.zip application/x-zip-compressed"""
TYPES = tuple((one.split()[0], one.split()[1]) for line in _LISTED.splitlines() for one in line.split("|"))
"""What IIS serves by itself, as far as sites of Python have it; .json, .woff2 and .py are not among it."""
_DOCUMENTS = ("Default.htm", "Default.asp", "index.htm", "index.html", "iisstart.htm", "default.aspx")
PYTHON = "Python_via_FastCGI"
_HOSTS_OWN = re.compile(r"(?i)python\d*_via_fastcgi")
"""What hosts call the handler that they have of their own, Python273_via_FastCGI for one."""
_SPAN = re.compile(r"(?:(\d{1,8})\.)?(\d{1,2}):(\d{2}):(\d{2})(?:\.\d+)?")
_UNSUPPORTED = {
    *("httpErrors", "httpRedirect", "security/authorization", "security/authentication", "security/ipSecurity"),
    *("security/access", "security/dynamicIpSecurity", "rewrite/outboundRules", "rewrite/providers"),
    *("security/requestFiltering/filteringRules", "iisnode", "webdav", "serverSideInclude", "aspNetCore"),
}
"""Sections of system.webServer that would change answers, and do nothing here."""


class Handler(NamedTuple):
    """Who answers some URLs. `kind` is `python`, `platform` (httpPlatformHandler), `static` or `other`."""

    name: str
    paths: tuple[str, ...]
    verbs: frozenset[str]
    kind: str
    resource: str = "unspecified"
    buffered: int = BUFFERED
    modules: tuple[str, ...] = ()


class Condition(NamedTuple):
    """A condition of a rule; `kind` is `pattern`, `isfile` or `isdirectory`."""

    input: str
    kind: str
    pattern: str
    ignores_case: bool
    is_negated: bool


class Rule(NamedTuple):
    """A rule of the rewrite module; `base` is the folder of its web.config, as URLs begin that are below it."""

    name: str
    base: str
    match: str | None
    ignores_case: bool
    is_negated: bool
    syntax: str
    conditions: tuple[Condition, ...]
    matches_any: bool
    tracks_all: bool
    action: str
    url: str
    appends_query: bool
    status: int
    reason: str
    description: str
    variables: tuple[tuple[str, str, bool], ...]
    stops: bool
    where: str


class Filtering(NamedTuple):
    """What is refused before anybody is asked."""

    hidden: frozenset[str] = HIDDEN
    extensions: tuple[tuple[str, bool], ...] = DENIED
    allows_other_extensions: bool = True
    verbs: tuple[tuple[str, bool], ...] = ()
    allows_other_verbs: bool = True
    sequences: frozenset[str] = frozenset()
    query_sequences: frozenset[str] = frozenset()
    headers: tuple[tuple[str, int], ...] = ()
    most_content: int = 30_000_000
    most_url: int = 4096
    most_query: int = 2048
    allows_double_escaping: bool = False
    allows_high_bits: bool = True


class Platform(NamedTuple):
    """A program that is a server itself, as httpPlatformHandler starts it. Times in seconds."""

    program: str
    arguments: str
    environment: tuple[tuple[str, str], ...]
    log: str | None
    starts_within: float
    answers_within: float
    processes: int
    fails_a_minute: int


class Config(NamedTuple):
    """What counts for a URL."""

    handlers: tuple[Handler, ...]
    rules: tuple[Rule, ...] = ()
    maps: tuple[tuple[str, tuple[str, bool, tuple[tuple[str, str], ...]]], ...] = ()
    types: tuple[tuple[str, str], ...] = TYPES
    cache: str = ""
    expires: str = ""
    documents: tuple[str, ...] = _DOCUMENTS
    filtering: Filtering = Filtering()
    headers: tuple[tuple[str, str], ...] = ()
    platform: Platform | None = None


class FastCgi(NamedTuple):
    """What a web.config says of the FastCGI application: its limits by IIS's name, and its variables."""

    limits: dict[str, int]
    environment: dict[str, str]


_ALL = frozenset({"*"})
USUAL = Config(
    (
        Handler(PYTHON, ("*",), _ALL, "python"),
        Handler("StaticFile", ("*",), _ALL, "static", "either", 0, ("StaticFileModule", "DefaultDocumentModule")),
    )
)
"""What counts where no web.config says anything."""


class File(NamedTuple):
    """A web.config that was read; `base` is its folder as the beginning of URLs, without a slash before it."""

    root: Element
    name: str
    base: str


def find(folder: Path, names: Iterable[str] = ("web.config",)) -> Path | None:
    """The first of some files that a folder has, whatever the case of its name."""
    try:
        there = {entry.name.lower(): entry for entry in sorted(folder.iterdir())}
    except OSError:
        return None
    return next((there[name] for name in names if name in there and there[name].is_file()), None)


def load(path: Path, base: str) -> File:
    """A web.config; MalformedError if it cannot be read."""
    name = f"{base}{path.name}"
    try:
        root = elements.load(path)
    except elements.MalformedError as error:
        raise elements.MalformedError(f"{base}{error}") from None
    return File(root, name, base)


def app_settings(file: File) -> dict[str, str]:
    """The appSettings as wfastcgi reads them: every `add` below any of them, the last of a key, keys stripped."""
    if file.root.name != "configuration":
        return {}
    return {
        element.get("key").strip(): element.get("value")
        for section in file.root.below("appSettings")
        for element in section.below("add")
        if element.get("key").strip()
    }


def fast_cgi(file: File) -> FastCgi:
    """What its fastCgi section says of the application."""
    found = FastCgi({}, {})
    for section in _sections(file, ""):
        for application in (one for part in section.all("fastCgi") for one in part.all("application")):
            found.limits.update({name: application.number(name, 0) for name in application.attributes})
            for name, value in _variables(application):
                found.environment[name] = value
    return found


def applied(config: Config, file: File, path: str, *, is_below: bool) -> Config:
    """What counts for the URL `path` (without a slash at its beginning), once a file has had its say.

    With `is_below`, the URL belongs to an application below that of the file.
    """
    return reduce(lambda so_far, section: _apply(so_far, section, file), _sections(file, path, is_below), config)


def unsupported(file: File) -> list[str]:
    """The sections in it that would have changed answers, with file and line."""
    return [
        f"{file.name}:{element.line}: {path} has no effect here"
        for section in file.root.below("system.webServer")
        for path, element in _paths(section, "")
        if path in _UNSUPPORTED
    ]


def _paths(element: Element, above: str) -> Iterator[tuple[str, Element]]:
    for one in element.children:
        path = f"{above}{one.name}"
        yield path, one
        yield from _paths(one, f"{path}/")


def _sections(file: File, path: str, is_below: bool = False) -> Iterator[Element]:
    """The system.webServer elements that concern a URL, those of `location` elements last, the nearest at the end."""
    if file.root.name != "configuration":
        return
    yield from file.root.all("system.webServer")
    inner = path[len(file.base) :] if path.startswith(file.base) else path
    for location in sorted(file.root.all("location"), key=lambda one: _place(one).count("/") + bool(_place(one))):
        place = _place(location)
        is_inside = not place or f"{inner.lower()}/".startswith(f"{place}/")
        if is_inside and (not is_below or location.is_true("inheritInChildApplications", default=True)):
            yield from location.all("system.webServer")


def _place(location: Element) -> str:
    place = location.get("path").replace("\\", "/").strip("/").lower()
    return "" if place == "." else place


def _apply(config: Config, section: Element, file: File) -> Config:
    for part in section.children:
        if part.name == "handlers":
            config = config._replace(handlers=_handlers(config.handlers, part))
        elif part.name == "rewrite":
            config = _rewrite(config, part, file)
        elif part.name == "staticContent":
            config = _static_content(config, part)
        elif part.name == "defaultDocument":
            config = config._replace(documents=_documents(config.documents, part))
        elif part.name == "httpPlatform":
            config = config._replace(platform=_platform(part))
        elif part.name == "httpProtocol":
            config = config._replace(headers=_custom_headers(config.headers, part))
        elif part.name == "security":
            for filtering in part.all("requestFiltering"):
                config = config._replace(filtering=_filtering(config.filtering, filtering))
    return config


def _handlers(handlers: tuple[Handler, ...], part: Element) -> tuple[Handler, ...]:
    inherited, added = list(handlers), list[Handler]()
    for one in part.children:
        if one.name == "clear":
            inherited, added = [], []
        elif one.name == "remove":
            name = one.get("name").lower()
            is_hosts_own = _HOSTS_OWN.fullmatch(name) is not None
            inherited = [
                each for each in inherited if each.name.lower() != name and not (is_hosts_own and each.name == PYTHON)
            ]
            added = [each for each in added if each.name.lower() != name]
        elif one.name == "add":
            made = _handler(one)
            added = [each for each in added if each.name.lower() != made.name.lower()]
            inherited = [each for each in inherited if each.name.lower() != made.name.lower()]
            added.append(made)
    if any(one.kind == "python" and "*" in one.paths for one in added):
        # It stands for the one that a host has of its own; a folder that removes it wants its files served.
        inherited = [each for each in inherited if each.name != PYTHON]
    return (*added, *inherited)


def _handler(one: Element) -> Handler:
    modules = tuple(word.strip() for word in one.get("modules").split(",") if word.strip())
    lower = {word.lower() for word in modules}
    kind = "other"
    if "fastcgimodule" in lower or "cgimodule" in lower:
        kind = "python"
    elif lower & {"httpplatformhandler", "aspnetcoremodule"}:
        kind = "platform"
    elif lower & {"staticfilemodule", "defaultdocumentmodule", "directorylistingmodule"}:
        kind = "static"
    return Handler(
        name=one.get("name"),
        paths=tuple(word.strip() for word in one.get("path", "*").split(",") if word.strip()) or ("*",),
        verbs=frozenset(word.strip().upper() for word in one.get("verb", "*").split(",") if word.strip()) or _ALL,
        kind=kind,
        resource=one.get("resourceType", "Unspecified").lower(),
        buffered=one.number("responseBufferLimit", BUFFERED),
        modules=modules,
    )


def _rewrite(config: Config, part: Element, file: File) -> Config:
    rules, maps = list(config.rules), dict(config.maps)
    for kind in part.children:
        if kind.name in {"rules", "globalRules"}:
            for one in kind.children:
                if one.name == "clear":
                    rules = []
                elif one.name == "remove":
                    rules = [rule for rule in rules if rule.name.lower() != one.get("name").lower()]
                elif one.name == "rule" and one.is_true("enabled", default=True):
                    rules.append(_rule(one, file))
        elif kind.name == "rewriteMaps":
            for one in kind.all("rewriteMap"):
                entries = tuple((each.get("key"), each.get("value")) for each in one.all("add"))
                maps[one.get("name").lower()] = (
                    one.get("defaultValue"),
                    one.is_true("ignoreCase", default=True),
                    entries,
                )
    return config._replace(rules=tuple(rules), maps=tuple(maps.items()))


def _rule(one: Element, file: File) -> Rule:
    match = next(one.all("match"), None)
    conditions = next(one.all("conditions"), Element("conditions", {}, one.line))
    action = next(one.all("action"), Element("action", {}, one.line))
    kind = action.get("type", "None").lower()
    codes = {"permanent": 301, "found": 302, "seeother": 303, "temporary": 307}
    redirect = codes.get(action.get("redirectType", "Permanent").lower(), 301)
    return Rule(
        name=one.get("name"),
        base=file.base,
        match=None if match is None else match.get("url"),
        ignores_case=match is None or match.is_true("ignoreCase", default=True),
        is_negated=match is not None and match.is_true("negate", default=False),
        syntax=one.get("patternSyntax", "ECMAScript").lower(),
        conditions=tuple(_condition(each) for each in conditions.all("add")),
        matches_any=conditions.get("logicalGrouping").lower() == "matchany",
        tracks_all=conditions.is_true("trackAllCaptures", default=False),
        action=kind,
        url=action.get("url"),
        appends_query=action.is_true("appendQueryString", default=True),
        status=redirect if kind == "redirect" else action.number("statusCode", 0),
        reason=action.get("statusReason"),
        description=action.get("statusDescription"),
        variables=tuple(
            (each.get("name"), each.get("value"), each.is_true("replace", default=True))
            for group in one.all("serverVariables")
            for each in group.all("set")
        ),
        stops=one.is_true("stopProcessing", default=False),
        where=f"{file.name}:{one.line}",
    )


def _condition(one: Element) -> Condition:
    return Condition(
        one.get("input"),
        one.get("matchType", "Pattern").lower(),
        one.get("pattern"),
        one.is_true("ignoreCase", default=True),
        one.is_true("negate", default=False),
    )


def _static_content(config: Config, part: Element) -> Config:
    types, cache, expires = dict(config.types), config.cache, config.expires
    for one in part.children:
        extension = one.get("fileExtension").lower()
        if one.name == "clear":
            types = {}
        elif one.name == "remove":
            types.pop(extension, None)
        elif one.name == "mimeMap" and extension:
            types[extension] = _line(one.get("mimeType"))
        elif one.name == "clientCache":
            cache = _cache(one, cache)
            is_dated = one.get("cacheControlMode").lower() == "useexpires"
            expires = one.get("httpExpires") if is_dated else ("" if one.get("cacheControlMode") else expires)
    return config._replace(types=tuple(types.items()), cache=cache, expires=expires)


def _line(text: str) -> str:
    return re.sub(r"[\r\n\0]", " ", text)


def _cache(one: Element, before: str) -> str:
    mode = one.get("cacheControlMode").lower()
    custom = _line(one.get("cacheControlCustom"))
    words = [custom] if custom else []
    if mode == "nocontrol" and not custom:
        return ""
    if mode == "disablecache":
        words.append("no-cache")
    elif mode == "usemaxage":
        match = _SPAN.fullmatch(one.get("cacheControlMaxAge", "1.00:00:00").strip())
        if match:
            days, hours, minutes, seconds = (int(group or 0) for group in match.groups())
            words.append(f"max-age={((days * 24 + hours) * 60 + minutes) * 60 + seconds}")
    return ",".join(words) or before


def _documents(documents: tuple[str, ...], part: Element) -> tuple[str, ...]:
    if not part.is_true("enabled", default=True):
        return ()
    inherited, added = list(documents), list[str]()
    for one in (each for files in part.all("files") for each in files.children):
        if one.name == "clear":
            inherited, added = [], []
        elif one.name == "remove":
            inherited = [name for name in inherited if name.lower() != one.get("value").lower()]
        elif one.name == "add" and one.get("value"):
            added.append(one.get("value"))
    return (*added, *inherited)


def _custom_headers(headers: tuple[tuple[str, str], ...], part: Element) -> tuple[tuple[str, str], ...]:
    found = list(headers)
    for one in (each for group in part.all("customHeaders") for each in group.children):
        name = one.get("name")
        if one.name == "clear":
            found = []
        elif one.name in {"remove", "add"}:
            found = [each for each in found if each[0].lower() != name.lower()]
            is_name = name.lower() != "content-length" and re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", name)
            if one.name == "add" and is_name:
                found.append((name, _line(one.get("value"))))
    return tuple(found)


def _platform(part: Element) -> Platform:
    logs = part.is_true("stdoutLogEnabled", default=False)
    match = _SPAN.fullmatch(part.get("requestTimeout", "00:02:00").strip())
    answers_within = 120.0
    if match:
        days, hours, minutes, seconds = (int(group or 0) for group in match.groups())
        answers_within = float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    return Platform(
        program=part.get("processPath"),
        arguments=part.get("arguments"),
        environment=tuple(_variables(part)),
        log=part.get("stdoutLogFile", "stdout") if logs else None,
        starts_within=float(part.number("startupTimeLimit", 10)),
        answers_within=answers_within,
        processes=min(16, max(1, part.number("processesPerApplication", 1))),
        fails_a_minute=part.number("rapidFailsPerMinute", 10),
    )


def _variables(element: Element) -> Iterator[tuple[str, str]]:
    for group in element.all("environmentVariables"):
        for one in group.children:
            if one.name in {"environmentVariable", "add"} and one.get("name") and "=" not in one.get("name"):
                yield one.get("name"), one.get("value")


def _filtering(before: Filtering, part: Element) -> Filtering:
    found = before._replace(
        allows_double_escaping=part.is_true("allowDoubleEscaping", before.allows_double_escaping),
        allows_high_bits=part.is_true("allowHighBitCharacters", before.allows_high_bits),
    )
    for one in part.children:
        if one.name == "hiddenSegments":
            found = found._replace(hidden=_names(found.hidden, one, "segment"))
        elif one.name == "denyUrlSequences":
            found = found._replace(sequences=_names(found.sequences, one, "sequence"))
        elif one.name == "denyQueryStringSequences":
            found = found._replace(query_sequences=_names(found.query_sequences, one, "sequence"))
        elif one.name == "fileExtensions":
            allows = one.is_true("allowUnlisted", found.allows_other_extensions)
            extensions = _allowed(found.extensions, one, "fileExtension", str.lower)
            found = found._replace(extensions=extensions, allows_other_extensions=allows)
        elif one.name == "verbs":
            allows = one.is_true("allowUnlisted", found.allows_other_verbs)
            found = found._replace(verbs=_allowed(found.verbs, one, "verb", str.upper), allows_other_verbs=allows)
        elif one.name == "requestLimits":
            found = _limits(found, one)
    return found


def _limits(found: Filtering, one: Element) -> Filtering:
    headers = dict(found.headers)
    for each in (limit for group in one.all("headerLimits") for limit in group.all("add")):
        headers[each.get("header").lower()] = each.number("sizeLimit", 0)
    return found._replace(
        most_content=one.number("maxAllowedContentLength", found.most_content),
        most_url=one.number("maxUrl", found.most_url),
        most_query=one.number("maxQueryString", found.most_query),
        headers=tuple(headers.items()),
    )


def _names(before: frozenset[str], part: Element, attribute: str) -> frozenset[str]:
    names = set(before)
    for one in part.children:
        name = one.get(attribute).lower()
        if one.name == "clear":
            names = set()
        elif one.name == "remove":
            names.discard(name)
        elif one.name == "add" and name:
            names.add(name)
    return frozenset(names)


def _allowed(
    before: tuple[tuple[str, bool], ...], part: Element, attribute: str, folded: Callable[[str], str]
) -> tuple[tuple[str, bool], ...]:
    names = dict(before)
    for one in part.children:
        name = folded(one.get(attribute))
        if one.name == "clear":
            names = {}
        elif one.name == "remove":
            names.pop(name, None)
        elif one.name == "add" and name:
            names[name] = one.is_true("allowed", default=True)
    return tuple(names.items())
