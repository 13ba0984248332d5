"""A second run of an unchanged service reads no definition, prepares nothing and runs the same; changes are seen."""

from pathlib import Path

import pytest
from conftest import get

LOADER = "lxml.etree"
"""What only reading a service loads."""


@pytest.fixture
def emulate(service, rolepack):
    """Run the jobs of a service once: whether that was prepared anew, and what was said of it."""

    def run(*words: str) -> tuple[bool, list[str]]:
        done = rolepack("emulate", "--detach", *words, cwd=place, PYTHONPROFILEIMPORTTIME="1")
        assert done.returncode == 0, done.stderr
        rolepack.ok("stop", cwd=place)
        return LOADER in done.stderr, [line for line in done.stdout.splitlines() if "_IN_" not in line]

    place = service("pair")
    run("--role", "jobs")  # its folders are made
    run("--role", "jobs")
    run.place = place
    return run


def test_what_was_prepared_is_run_again_at_once(emulate):
    is_new, said = emulate("--role", "jobs")
    assert not is_new
    assert said[0].startswith("jobs: Python ")
    edit(emulate.place / "roles/jobs/worker.py")
    assert emulate("--role", "jobs", "--grace", "20") == (False, said), "a module is read by instances alone"


def edit(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def test_other_roles_are_prepared_and_run(emulate, rolepack):
    is_new, _ = emulate("--role", "jobs", "--role", "web")
    assert is_new
    rolepack.ok("emulate", "--detach", cwd=emulate.place)
    status = rolepack.status(emulate.place)
    assert {instance["role"] for instance in status["instances"]} == {"web", "jobs"}
    assert get(status["endpoints"]["web/Endpoint1"])


@pytest.mark.parametrize(
    "change",
    [
        lambda place: edit(place / "ServiceConfiguration.Local.cscfg"),
        lambda place: edit(place / "ServiceDefinition.csdef"),
        lambda place: (place / "roles/jobs/requirements.txt").write_text("# nothing\n"),
        lambda place: (place / "roles/jobs/added.py").touch(),
        lambda place: (place / "invoke.yaml").write_text("other: 1\n"),
        lambda place: next((place / ".rolepack/environments/jobs").glob("*/bin/python")).unlink(),
        lambda place: (place / ".rolepack/emulator/prepared.json").write_text("[]"),
    ],
)
def test_a_change_is_seen(emulate, change):
    change(emulate.place)
    is_new, said = emulate("--role", "jobs")
    assert is_new
    assert said[-1].startswith("1 instance Ready")


def test_what_was_prepared_may_hold_secrets(emulate):
    assert (emulate.place / ".rolepack/emulator").stat().st_mode & 0o077 == 0
