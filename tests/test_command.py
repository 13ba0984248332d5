"""The command line: one way to fail, help with an example, and nothing half-written."""

import json
import os
import re
import signal
import subprocess

import pytest
from conftest import ROOT, SERVICES, is_alive, make_wheel, until

from rolepack import namespace

COMMANDS = sorted(namespace.task_names)


def files_of(place):
    return {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name, rolepack, tmp_path):
    shown = rolepack.ok("--help", name, cwd=tmp_path)
    assert re.search(f"Example: (invoke|rolepack) {name}", shown)
    assert rolepack.ok(name, "--help", cwd=tmp_path) == shown
    without = {"adopt", "inspect", "verify", "extract", "certificate"}
    assert name in without or name.startswith("webapp-") or "--service" in shown
    assert "none" not in re.sub(r"\(default: [^)]*\)", "", shown).split(), "every option says what it is for"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "--service", "nowhere"], "nowhere: there is no ServiceDefinition.csdef in it. Name a service's"),
        (["check"], "there is no ServiceDefinition.csdef here or in a folder above. Change into a service's folder"),
        (["status"], "there is no ServiceDefinition.csdef here"),
        (["new-role", "x", "--kind", "web"], "there is no ServiceDefinition.csdef here"),
        (["new-service", "a b"], "NAME: 'a b' cannot be the name of the service. Use up to"),
    ],
)
def test_mistakes_outside_a_service(words, message, rolepack, tmp_path):
    assert message in rolepack.refused(*words, cwd=tmp_path)
    assert files_of(tmp_path) == set()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["new-role", "x"], "--kind: the kind of the role is missing. Write web or worker."),
        (["new-role", "x", "--kind", "api"], "--kind: 'api' is no kind of role. Write web or worker."),
        (["new-role", "WEB", "--kind", "web"], "ServiceDefinition.csdef: there is a role 'web' already. Choose"),
        (["package", "--target", "amiga"], "--target: 'amiga' is unknown. Choose host, win_amd64"),
        (["package", "--python", "3"], "--python: '3' is no Python version. Write it as 3.12 or 3.12.10."),
        (["package", "--configuration", "Test"], "ServiceConfiguration.Test.cscfg: there is no such configuration"),
        (["emulate", "--role", "x"], "--role: there is no role 'x'. Choose from web, jobs."),
        (["status"], "no emulator of this service is running. Start one with `invoke emulate`"),
        (["stop"], "no emulator of this service is running."),
        (["logs"], "there are no logs. Start the service with `invoke emulate`."),
    ],
)
def test_mistakes_inside_a_service(words, message, rolepack, service):
    place = service("pair")
    assert message in rolepack.refused(*words, cwd=place)
    assert files_of(place) == files_of(SERVICES / "pair")


@pytest.mark.parametrize("command", [["check"], ["package"], ["emulate"], ["emulate", "--detach"]])
def test_a_faulty_service_is_refused_before_anything_is_written(command, rolepack, service):
    place = service("pair")
    for path in place.glob("*.cscfg"):
        path.write_text(path.read_text(encoding="utf-8").replace("<Instances count", "<Instances cuont"))
    before = files_of(place)
    done = rolepack(*command, cwd=place)
    assert done.returncode == 1
    assert "Instances of role 'jobs' cannot have cuont. Write count, if that was meant" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert files_of(place) == before


def test_a_package_that_cannot_be_had_leaves_the_old_bundle(rolepack, service, index):
    place = service("pair")
    (place / "dist").mkdir()
    (place / "dist" / "pair.cspkg").write_text("old")
    (place / "roles/web/requirements.txt").write_text("# none\nnot-there\n")
    (place / "roles/jobs/requirements.txt").write_text("neither-there\n")
    for command in (["package"], ["emulate"]):
        message = rolepack.refused(*command, cwd=place)
        assert "roles/web/requirements.txt:2: no index has a package 'not-there'. Correct the name" in message
        assert "roles/jobs/requirements.txt:1: no index has a package 'neither-there'." in message
    assert (place / "dist" / "pair.cspkg").read_text() == "old"
    assert [path.name for path in (place / "dist").iterdir()] == ["pair.cspkg"]


def test_package_tells_programs_what_it_made(rolepack, service, tmp_path, index):
    index.add(make_wheel(tmp_path / "wheels", "wfastcgi", "3.0.0"))
    place = service("pair")
    made = json.loads(rolepack.ok("package", "--json", "--output", tmp_path / "x.cspkg", cwd=place))
    assert made["package"] == str(tmp_path / "x.cspkg")
    assert made["configuration"] == str(tmp_path / "ServiceConfiguration.Cloud.cscfg")
    assert made["targets"]["web"] == {"platform": "win_amd64", "python": "3.12.10"}
    assert made["roles"] == {"web": ["wfastcgi-3.0.0-py3-none-any.whl"], "jobs": []}
    assert made["size"] == (tmp_path / "x.cspkg").stat().st_size


def test_the_repository_and_every_new_service_have_the_same_tasks():
    assert (ROOT / "tasks.py").read_bytes() == (ROOT / "templates/service/tasks.py.j2").read_bytes()
    assert len((ROOT / "tasks.py").read_text().splitlines()) == 3


def test_a_folder_of_the_users_that_is_called_like_ours_is_never_run(rolepack, service):
    place = service("exits-at-once")
    (place / "emulator").mkdir()
    (place / "emulator" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    assert "bad start" in rolepack("emulate", "--detach", cwd=place).stdout


def test_a_folder_that_cannot_be_written_is_a_mistake_too(rolepack, service):
    place = service("pair")
    (place / "dist").write_text("a file where a folder should be")
    assert "dist: " in rolepack.refused("package", cwd=place)


def test_an_interrupted_detached_start_leaves_nothing_running(rolepack, service):
    place = service("ignores-term")
    argv = rolepack.argv("emulate", "--detach")
    with subprocess.Popen(argv, cwd=place, stdout=subprocess.PIPE, text=True) as start:
        assert start.stdout is not None
        while "Busy" not in start.stdout.readline():
            pass
        worker = rolepack.status(place)["instances"][0]["pid"]
        os.kill(worker, signal.SIGSTOP)
        start.send_signal(signal.SIGINT)
        until(lambda: rolepack.status(place)["instances"][0]["state"] == "Stopping")
        os.kill(worker, signal.SIGKILL)
        assert start.wait(60) == 130
    assert not is_alive(worker)
    rolepack.refused("status", cwd=place)


def test_a_reader_that_stops_reading_is_no_error(rolepack, service):
    place = service("exits-at-once")
    rolepack("emulate", "--detach", cwd=place)
    command = f"{rolepack.argv('logs')[0]} logs | head -n 0"
    done = subprocess.run(["bash", "-c", command], cwd=place, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_the_help_of_the_program_is_about_its_commands(rolepack, tmp_path):
    shown = rolepack.ok("--help", cwd=tmp_path)
    assert shown.startswith("Usage: rolepack COMMAND [OPTIONS]\n\nSubcommands:\n\n  add-support-files ")
    assert rolepack.ok(cwd=tmp_path) == shown


def test_a_reader_who_goes_away_is_no_error_to_tell(rolepack, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(rolepack.argv("--help"), cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")
