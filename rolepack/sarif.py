"""Faults in the format of tools that review code: SARIF 2.1.0 (OASIS)."""

import os
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from cloudservice import rules
from cloudservice.errors import Fault

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"


def render(faults: Iterable[Fault]) -> dict[str, Any]:
    """The log of one run, with the rules that were broken; files are relative to the current folder."""
    faults = list(faults)
    names = sorted({fault.rule for fault in faults})
    driver = {
        "name": "rolepack",
        "version": version("rolepack"),
        "rules": [
            {
                "id": name,
                "shortDescription": {"text": f"This rule asks that {rules.RULES[name].about}."},
                "defaultConfiguration": {"level": rules.RULES[name].level},
            }
            for name in names
        ],
    }
    results = [_result(fault, names.index(fault.rule)) for fault in faults]
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }


def _result(fault: Fault, rule_index: int) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(fault.where)}}
    if fault.line is not None:
        place["region"] = {"startLine": fault.line}
    return {
        "ruleId": fault.rule,
        "ruleIndex": rule_index,
        "level": fault.level,
        "message": {"text": f"{fault.wrong}. {fault.remedy}."},
        "locations": [{"physicalLocation": place}],
    }


def _uri(where: str) -> str:
    path = PurePath(where)
    return path.as_uri() if path.is_absolute() else quote(os.fsencode(path.as_posix()))
