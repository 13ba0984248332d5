"""invoke check: everything that is wrong with a service, at once."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke import Context, Exit

from rolepack.command import AS_JSON, SERVICE, command, counted, say, say_json, service_folder

if TYPE_CHECKING:
    from cloudservice.errors import Fault
    from cloudservice.folder import Examination

_FORMATS = ("text", "json", "sarif")


@command(
    help={
        "service": SERVICE,
        "json": f"{AS_JSON} The same as --format json.",
        "format": "text, json, or sarif for tools that review code. Default: text.",
    }
)
def check(_context: Context, service: str | None = None, json: bool = False, format: str = "text") -> None:  # noqa: A002
    """Read the definition, every configuration and the role folders; print every error and every warning.

    The exit code is 1 if there is an error. Example: invoke check --service shop
    """
    from cloudservice import folder
    from cloudservice.errors import Fault, ServiceError

    if format not in _FORMATS:
        raise ServiceError(Fault("--format", f"'{format}' is no format", f"Write one of {', '.join(_FORMATS)}"))
    is_text = format == "text" and not json
    try:
        root = service_folder(service)
        done = folder.check(root, datetime.now(UTC).date())
    except ServiceError as error:
        if is_text:
            raise
        root, done = Path(service or "."), folder.Examination((), error.faults)
    if json or format == "json":
        say_json(_as_json(root, done))
    elif format == "sarif":
        from rolepack import sarif

        say_json(sarif.render(done.faults))
    else:
        _say(root, done)
    if done.errors:
        raise Exit(code=1)


def _say(root: Path, done: "Examination") -> None:
    from cloudservice.files import shown

    for fault in done.errors:
        say(str(fault))
    for fault in done.warnings:
        say(f"warning: {fault}")
    found = _counts(done.errors, done.warnings)
    if not done.services:
        say(f"{found} in {shown(root)}.")
        return
    first = done.services[0]
    roles = ", ".join(f"{role.name} ({_about(first.sources[role.name].language, role.kind)})" for role in first.roles)
    names = ", ".join(one.configuration for one in done.services)
    say(f"Checked service '{first.name}' in {shown(root)}: {roles}; configurations {names}. {found}.")


def _counts(errors: Iterable["Fault"], warnings: Iterable["Fault"]) -> str:
    return f"{counted(list(errors), 'error')}, {counted(list(warnings), 'warning')}"


def _about(language: str, kind: str) -> str:
    return f"{language} {kind}" if language else kind


def _as_json(root: Path, done: "Examination") -> dict[str, Any]:
    """What `check --json` prints; `service`, `configurations` and `roles` are empty while there is an error."""
    first = done.services[0] if done.services else None
    return {
        "folder": str(root),
        "service": first.name if first else None,
        "configurations": [one.configuration for one in done.services],
        "roles": [
            {
                "name": role.name,
                "kind": role.kind,
                "folder": str(source.folder),
                "language": source.language or None,
                "requirements": (source.folder / "requirements.txt").is_file(),
            }
            for role, source in ([(role, first.sources[role.name]) for role in first.roles] if first else [])
        ],
        "errors": len(done.errors),
        "warnings": len(done.warnings),
        "faults": [
            {
                "level": fault.level,
                "rule": fault.rule,
                "file": fault.where,
                "line": fault.line,
                "wrong": fault.wrong,
                "remedy": fault.remedy,
            }
            for fault in done.faults
        ],
    }
