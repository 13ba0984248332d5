"""The rules of IIS's rewrite module, as projects of Python have them."""

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

from emulator.hosts import urls
from emulator.hosts.handlers import ATOMIC
from emulator.hosts.http1 import Headers, Refused
from emulator.hosts.urls import Url
from emulator.hosts.webconfig import Condition, Config, Rule

_MARK = "\ue000"
"""A character of no meaning, in the place of a question mark."""
_ESCAPED = str.maketrans({character: quote(character) for character in "%?#"})
_MARKED = str.maketrans({"?": _MARK})
_MOST_LENGTH = 16 * 1024
_DEEPEST = 50
Lookup = Callable[[str], str]
"""The value of a server variable."""
Find = Callable[[str], Path | None]
"""The file or folder that a path of the site leads to, if there is one."""


class Outcome(NamedTuple):
    """What the rules make of a request: another address, or an answer."""

    url: Url
    is_rewritten: bool = False
    status: int = 0
    reason: str = ""
    headers: Headers = []  # noqa: RUF012 - never changed
    body: str = ""
    variables: tuple[tuple[str, str], ...] = ()
    is_aborted: bool = False


class FaultError(Exception):
    """A rule that cannot be followed, with its file and line."""


class Surroundings(NamedTuple):
    """What rules ask about a request: server variables, files, and whether the seed's static rules are meant well.

    `variables` are those that rules have set by now.
    """

    lookup: Lookup
    find: Find
    is_documented: bool
    variables: dict[str, str]


def rewrite(config: Config, url: Url, around: Surroundings) -> Outcome:
    """Let the rules have their say, one after the other."""
    path, query, is_rewritten = url.path, url.query, False
    variables = around.variables
    for rule in config.rules:
        base = f"/{rule.base}"
        if not path.lower().startswith(base.lower()):
            continue
        step = _Step(config, rule, path, query, around)
        captured = step.match(path[len(base) :])
        if captured is None:
            continue
        for name, value, replaces in rule.variables:
            if replaces or not step.lookup(_variable(name)):
                variables[_variable(name)] = step.expand(value, captured)
        if rule.action in {"redirect", "customresponse", "abortrequest"}:
            return step.end(url, captured)
        if rule.action == "rewrite":
            path, query = step.target(captured)
            is_rewritten = True
        if rule.stops or (around.is_documented and _is_static(rule)):
            break
    if not is_rewritten:
        return Outcome(url, variables=tuple(variables.items()))
    return Outcome(Url(urls.canonical(path), query, url.raw), True, variables=tuple(variables.items()))


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")


class _Captured(NamedTuple):
    rule: tuple[str, ...]
    condition: tuple[str, ...]


class _Step:
    """One rule and one request."""

    def __init__(self, config: Config, rule: Rule, path: str, query: str, around: Surroundings) -> None:
        self._captured: dict[int, str] = {}
        """What becomes of characters that the rule's own pattern has captured."""
        self._maps = dict(config.maps)
        self._rule = rule
        self._path, self._query = path, query
        self._around = around

    def lookup(self, name: str) -> str:
        """A server variable, as rules have set it by now."""
        return self._around.variables[name] if name in self._around.variables else self._around.lookup(name)

    def match(self, inner: str) -> _Captured | None:
        """What the rule's pattern and the conditions capture; None if the rule does not apply."""
        rule = self._rule
        if self._around.is_documented and _is_static(rule):
            # As the page means it: what lies in a folder `static` is served from there.
            place = self._around.find("/static")
            is_meant = inner.lower().startswith("static/") and place is not None and place.is_dir()
            return _Captured((inner,), ("",)) if is_meant else None
        captured = self._captures(rule.match or "", rule.syntax, inner, ignores_case=rule.ignores_case)
        if captured is None and self._around.is_documented and (rule.match or "").startswith("^/"):
            captured = self._captures(rule.match or "", rule.syntax, f"/{inner}", ignores_case=rule.ignores_case)
        if rule.is_negated:
            captured = (inner,) if captured is None else None
        return None if captured is None else self._conditions(captured)

    def _conditions(self, captured: tuple[str, ...]) -> _Captured | None:
        found = _Captured(captured, ("",))
        results = []
        for condition in self._rule.conditions:
            groups = self._condition(condition, found)
            results.append(groups is not None)
            if groups and not condition.is_negated:
                before = found.condition[1:] if self._rule.tracks_all else ()
                found = found._replace(condition=(groups[0], *before, *groups[1:]))
            if (groups is None) != self._rule.matches_any:
                break
        if not results:
            return found
        return found if (any(results) if self._rule.matches_any else all(results)) else None

    def _condition(self, condition: Condition, captured: _Captured) -> tuple[str, ...] | None:
        """What a condition captures; None if it does not hold."""
        value = self.expand(condition.input, captured)
        if condition.kind in {"isfile", "isdirectory"}:
            # REQUEST_FILENAME is expanded to the path of the site, so that nothing outside is looked at.
            place = self._around.find(value)
            holds = place is not None and (place.is_file() if condition.kind == "isfile" else place.is_dir())
            return (value,) if holds != condition.is_negated else None
        groups = self._captures(condition.pattern, self._rule.syntax, value, ignores_case=condition.ignores_case)
        if condition.is_negated:
            return (value,) if groups is None else None
        return groups

    def _captures(self, pattern: str, syntax: str, value: str, *, ignores_case: bool) -> tuple[str, ...] | None:
        try:
            match = _compiled(pattern, syntax, ignores_case).search(value)
        except (re.error, OverflowError, RecursionError, ValueError) as error:
            raise FaultError(f"{self._rule.where}: the pattern '{pattern}' is not well-formed: {error}") from None
        return None if match is None else (match[0], *(group or "" for group in match.groups()))

    def target(self, captured: _Captured) -> tuple[str, str]:
        """The path and the query that a rewrite leads to."""
        rule = self._rule
        url = rule.url
        if self._around.is_documented and url.startswith("^") and url.endswith(".*"):
            # As the page means it: the same file below another folder.
            before = (rule.match or "").removeprefix("^").removesuffix(".*").strip("/")
            rest = self._path[len(rule.base) + 1 :][len(before) :].lstrip("/")
            return f"/{rule.base}{url[1:-2].strip('/')}/{rest}", self._query
        self._captured = _MARKED  # one in the path begins no query
        path, query = self._split(self.expand(url, captured))
        return path.replace(_MARK, "?"), query.replace(_MARK, "?")

    def _split(self, expanded: str) -> tuple[str, str]:
        path, mark, query = expanded.partition("?")
        if self._rule.appends_query and self._query:
            query = f"{query}&{self._query}" if query else self._query
        elif not mark and not self._rule.appends_query:
            query = ""
        if "://" in path[:8]:
            raise FaultError(f"{self._rule.where}: a rewrite to another server needs a proxy, which is not here")
        if not path.startswith("/"):
            path = f"/{self._rule.base}{path}"
        if len(path) + len(query) > _MOST_LENGTH:
            raise Refused(404, "what it is rewritten to is too long")
        return path, query

    def end(self, url: Url, captured: _Captured) -> Outcome:
        """The answer that the rule gives."""
        rule = self._rule
        if rule.action == "abortrequest":
            return Outcome(url, is_aborted=True)
        if rule.action == "customresponse":
            status = rule.status if 200 <= rule.status <= 999 else 500
            reason = re.sub(r"[\r\n\0]", " ", self.expand(rule.reason, captured))
            return Outcome(url, status=status, reason=reason, body=self.expand(rule.description, captured))
        self._captured = _ESCAPED
        expanded = self.expand(rule.url, captured)
        place, _, query = expanded.partition("?")
        if rule.appends_query and self._query:
            query = f"{query}&{self._query}" if query else self._query
        if "://" not in place and not place.startswith("/"):
            place = f"/{rule.base}{place}"
        place = quote(place.encode("utf-8", "surrogateescape"), safe="/:@!$&'()*+,;=~%?#[]-._")
        place = f"{place}?{query}" if query else place
        headers = [("Location", re.sub(r"[^\x21-\x7e]", "", place)), ("Content-Type", "text/html; charset=UTF-8")]
        return Outcome(url, status=rule.status, headers=headers, body="Object Moved")

    def expand(self, text: str, captured: _Captured, depth: int = 0) -> str:
        """A text of a rule with the values of what stands in braces, which may stand in each other."""
        if depth > _DEEPEST:
            raise FaultError(f"{self._rule.where}: braces are nested too deep")
        found, rest = "", text
        while "{" in rest:
            before, _, rest = rest.partition("{")
            inner, rest = _closed(rest)
            found += before + self._value(self.expand(inner, captured, depth + 1), captured)
            if len(found) > _MOST_LENGTH:
                raise Refused(404, "what it is rewritten to is too long")
        return found + rest

    def _value(self, name: str, captured: _Captured) -> str:
        kind, colon, rest = name.partition(":")
        if kind in {"R", "C"} and rest.isdecimal() and len(rest) < 3:
            groups = captured.rule if kind == "R" else captured.condition
            found = groups[int(rest)] if int(rest) < len(groups) else ""
            return found.translate(self._captured) if kind == "R" else found
        if colon:
            return self._function(kind, rest)
        variable = name.upper()
        if variable in {"REQUEST_FILENAME", "URL", "PATH_INFO", "SCRIPT_NAME"}:
            return self._path
        if variable == "QUERY_STRING":
            return self._query
        return self.lookup(_variable(variable))

    def _function(self, kind: str, rest: str) -> str:
        lower = kind.lower()
        if lower in {"tolower", "urlencode", "urldecode"}:
            made = {"tolower": str.lower, "urlencode": _encoded, "urldecode": unquote}
            return made[lower](rest)
        default, ignores_case, entries = self._maps.get(lower, ("", True, ()))
        if ignores_case:
            return next((value for key, value in entries if key.lower() == rest.lower()), default)
        return next((value for key, value in entries if key == rest), default)


def _encoded(text: str) -> str:
    return quote(text, safe="", errors="surrogateescape")


def _closed(text: str) -> tuple[str, str]:
    """What stands before the brace that closes one before `text`, and what stands behind it."""
    depth = 1
    for number, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if not depth:
            return text[:number], text[number + 1 :]
    return text, ""


def _is_static(rule: Rule) -> bool:
    """Whether a rule is the seed documents' first one, whose only condition (`true` is `false`) never holds."""
    if len(rule.conditions) != 1 or rule.action != "none" or rule.match:
        return False
    condition = rule.conditions[0]
    return (condition.input, condition.pattern, condition.kind) == ("true", "false", "pattern") and rule.stops


@lru_cache(512)
def _compiled(pattern: str, syntax: str, ignores_case: bool) -> re.Pattern[str]:
    """A pattern in one of the three syntaxes; those of wildcards and of exact matches are about the whole."""
    if syntax == "wildcard":
        # What stands between two stars need not be looked for again: the first place will do.
        first, *parts = [re.escape(part) for part in pattern.split("*")]
        last = f"(.*){parts.pop()}$" if parts else "$"
        pattern = f"^{first}{''.join(f'({ATOMIC}(.*?){part})' for part in parts)}{last}"
    elif syntax == "exactmatch":
        pattern = f"^{re.escape(pattern)}$"
    else:
        pattern = _with_digits_of_ascii(pattern)
    return re.compile(pattern, re.IGNORECASE if ignores_case else 0)


def _with_digits_of_ascii(pattern: str) -> str:
    r"""A pattern in which `\d` means what it means in ECMAScript."""
    found, is_in_class = "", False
    for word in re.findall(r"\\?.|\\$", pattern, re.DOTALL):
        is_in_class = word == "[" or (is_in_class and word != "]")
        found += ("0-9" if is_in_class else "[0-9]") if word == "\\d" else word
    return found
