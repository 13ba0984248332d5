"""What goes wrong between a publisher and its machines: a version stays, the old or the new; a retry ends well."""

import json
import os
import subprocess
import threading

import pytest
import windows as wine
from conftest import until
from farm import PASSWORD

MISSING = wine.why_not()
pytestmark = [pytest.mark.wine, pytest.mark.network, pytest.mark.skipif(bool(MISSING), reason=str(MISSING))]
KINDS = ("drop before", "drop after", "500", "truncated", "413")


def bundles(farm):
    """Two versions, as files beside the configuration."""
    made = {}
    for version in "12":
        made[version] = farm.folder / "dist" / f"{version}.cspkg"
        farm.package(version).rename(made[version])
    return made


def interrupted(farm, cases):
    """Publish versions in turn, each with a fault at one of its operations."""
    files = bundles(farm)
    farm.ok("publish", "--yes", "--package", files["1"])
    for number, (kind, nth) in enumerate(cases):
        wanted = "21"[number % 2]
        farm.hosts[0].inject(kind, nth)
        done = farm.run("publish", "--yes", "--package", files[wanted])
        assert "Traceback" not in done.stderr, (kind, nth, done.stderr)
        assert farm.versions() != [None], (kind, nth, done.stdout, done.stderr)
        if done.returncode:
            assert "host 'm0'" in done.stderr, (kind, nth, done.stderr)
            farm.ok("publish", "--yes", "--package", files[wanted])
        assert farm.versions() == [wanted], (kind, nth)


def test_a_fault_at_any_operation_is_mended_by_another_try(one):
    interrupted(one, [("drop before", 2), ("drop after", 4), ("500", 7), ("truncated", 9), ("413", 5)])


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_at_every_operation_is_mended(kind, one):
    files = bundles(one)
    one.ok("publish", "--yes", "--package", files["1"])
    one.hosts[0].requests.clear()
    one.ok("publish", "--yes", "--package", files["2"])
    count = len(one.hosts[0].requests)
    interrupted(one, [(kind, nth) for nth in range(1, count + 1)])


def test_a_host_that_goes_away_is_named_and_the_next_try_carries_on(two):
    two.publish("1")
    two.package("2")
    two.hosts[1].refuse = True
    told = two.refused("publish", "--yes")
    assert "host 'm1', asking: " in told
    assert "Run the command again when it can be reached" in told
    assert two.versions() == ["1", "1"]
    two.hosts[1].refuse = False
    two.ok("publish", "--yes")
    assert two.versions() == ["2", "2"]


def test_a_host_that_goes_away_in_its_switch_is_brought_back_on_the_others(two):
    """The change goes on there all the same; what it ends with is a version, and the retry makes it the new one."""
    two.publish("1")
    two.package("2")
    host = two.hosts[1]

    def vanish():
        until(lambda: _switching(two, 1), 30)
        host.refuse = True

    thread = threading.Thread(target=vanish)
    thread.start()
    done = two.run("publish", "--yes")
    thread.join()
    assert done.returncode == 1
    assert "host 'm1', switch: " in done.stderr
    assert two.versions()[0] == "1"
    assert two.versions()[1] in {"1", "2"}
    host.refuse = False
    two.ok("publish", "--yes")
    assert two.versions() == ["2", "2"]


def _switching(farm, number):
    """Whether a machine is about to make a change."""
    folder = farm.disk(number) / "shop"
    return any('"serial": 2' in path.read_text() for path in folder.glob("state.json"))


def test_a_host_that_restarts_in_its_switch_ends_with_the_new_version(one):
    one.publish("1")
    one.package("2")
    boots = []

    def boot():
        until(lambda: _switching(one, 0), 30)
        one.machines[0].boot()
        boots.append(True)

    thread = threading.Thread(target=boot)
    thread.start()
    done = one.run("publish", "--yes")
    thread.join()
    assert boots
    if done.returncode:
        one.ok("publish", "--yes")
    until(lambda: one.versions() == ["2"])


def test_a_wrong_password_is_told_and_nothing_is_retried(one):
    one.package("1")
    wrong = "wrong, and secret"
    told = one.refused("publish", "--yes", ROLEPACK_PASSWORD=wrong)
    assert "host 'm0', asking: it refuses azure by ntlm: the password is wrong" in told
    assert wrong not in told
    assert len(one.hosts[0].requests) == 0
    one.environ = {}
    assert (
        "there is no password for azure. Set ROLEPACK_PASSWORD_M0 or ROLEPACK_PASSWORD, or store it with"
        in one.refused("hosts")
    )


def test_a_message_that_is_too_large_is_cut(farm_of):
    farm = farm_of(1)
    with farm.open(envelope=150 * 1024):
        role = farm.folder / "roles" / "api"
        role.mkdir(parents=True)
        (role / "filler.bin").write_bytes(bytes(range(256)) * 4000 + os.urandom(500_000))
        farm.publish("1")
        assert farm.versions() == ["1"]


@pytest.mark.parametrize("bad", [b"\r", b"\x1a", b"\xff"])
def test_a_connection_that_does_not_keep_every_byte_is_noticed(bad, one):
    one.hosts[0].service.mangle = lambda content: content.replace(bad, b"\r\n")
    role = one.folder / "roles" / "api"
    role.mkdir(parents=True)
    (role / "filler.bin").write_bytes(os.urandom(600_000))
    one.publish("1")
    assert one.versions() == ["1"]


def test_tls_is_verified(farm_of, tmp_path):
    farm = farm_of(1)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    about = ["-subj", "/CN=m0", "-addext", "subjectAltName=DNS:m0.example.com", "-days", "2"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, *about],
        check=True,
        capture_output=True,
    )
    with farm.open(certificate=(certificate, key)):
        farm.package("1")
        farm.write_hosts(transport="https")
        told = farm.refused("publish", "--yes")
        assert "host 'm0', asking: its certificate is signed by nobody who is trusted here" in told
        farm.write_hosts(transport="https", ca=str(certificate))
        told = farm.refused("publish", "--yes")
        assert "its certificate is for another name than 127.0.0.2" in told


def test_two_who_publish_at_once_do_not_meet(one):
    one.publish("1")
    held = {"token": "abc", "who": "eve", "machine": "elsewhere", "pid": 1, "since": "2026-11-29T10:00:00Z"}
    path = one.disk(0) / "shop" / "lock.json"
    path.write_text(json.dumps({**held, "doing": "publish 2"}))
    one.package("2")
    told = one.refused("publish", "--yes")
    assert "host 'm0': eve on elsewhere has locked it since 2026-11-29T10:00:00Z, to publish 2. Wait for that" in told
    assert one.versions() == ["1"]
    assert path.exists(), "the lock of somebody else was taken away"
    assert "m0 is unlocked." in one.ok("deploy-unlock", "--yes")
    one.ok("publish", "--yes")
    assert one.versions() == ["2"]
    assert one.ok("deploy-unlock", "--yes") == "No host is locked.\n"


def test_the_lock_of_a_command_that_was_killed_here_is_taken_over(one):
    one.publish("1")
    one.package("2")
    argv, environ = one.rolepack.argv("publish"), {**os.environ, **one.environ}
    with subprocess.Popen(argv, cwd=one.folder, env=environ, stdin=subprocess.PIPE) as process:
        until((one.disk(0) / "shop" / "lock.json").exists, 30)
        process.kill()
    one.hosts[0].reboot()  # or else its session would still be there
    assert (one.disk(0) / "shop" / "lock.json").exists()
    said = one.ok("publish", "--yes")
    assert "held the lock, which is taken over" in said
    assert one.versions() == ["2"]


def test_a_part_that_was_changed_on_the_host_is_sent_again(one):
    one.publish("1")
    one.publish("2")
    for part in (one.disk(0) / "shop" / "parts").glob("*/*"):
        part.write_bytes(b"x" * part.stat().st_size)
    one.package("3")
    told = one.refused("publish", "--yes")
    assert "was changed on the host. Publish again: it is sent anew" in told
    assert one.versions() == ["2"]
    for _ in range(20):
        if one.run("publish", "--yes").returncode == 0:
            break
    assert one.versions() == ["3"]


def test_a_host_that_cannot_start_a_program_at_once_is_asked_again(farm_of, monkeypatch):
    farm = farm_of(1)
    (there,) = farm.machines
    start, lines = there.run, []

    def fail_once(line, *more, **named):
        lines.append(line)
        return start("no-such-program" if len(lines) == 1 else line, *more, **named)

    monkeypatch.setattr(there, "run", fail_once)
    with farm.open():
        farm.package("1")
        assert "1 host answered." in farm.ok("hosts")
    assert len(lines) == 3  # it has not got the archive either


def test_what_a_host_prints_cannot_command_the_terminal(one):
    worker = "import time\nprint('\\x1b]0;owned\\x07\\x1b[2J', {version!r}, flush=True)\ntime.sleep(600)\n"
    one.options["up_within"] = 3
    one.write_hosts()
    one.package("1", worker=worker)
    done = one.run("publish", "--yes")
    assert done.returncode == 1
    assert "\x1b" not in done.stdout + done.stderr
    assert r"\x1b]0;owned\x07" in done.stdout


def test_the_password_is_nowhere(one):
    one.configure(greeting="top-secret-setting")
    one.publish("1")
    said = one.ok("status", "--remote", "--json") + one.ok("deployments", "--json") + one.ok("logs", "--remote")
    assert PASSWORD not in said
    assert "top-secret-setting" not in said
    calls = str(one.machines[0].calls())
    assert PASSWORD not in calls
    assert "top-secret-setting" not in calls
    holding = [path for path in one.disk(0).rglob("*") if path.is_file() and b"top-secret-setting" in path.read_bytes()]
    assert {path.parent.name for path in holding} == {"setups", "api_IN_0"}
    local = [path for path in (one.folder / ".rolepack").rglob("*") if path.is_file()]
    assert not [path for path in local if PASSWORD.encode() in path.read_bytes()]
