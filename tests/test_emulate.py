"""The emulator with real processes, from the command line."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from conftest import get, is_alive, one, status_of, until


def about(place: Path, rolepack) -> dict:
    """What the worker of `pair` printed of itself at its latest start."""
    lines = (log_folder(rolepack.status(place), "jobs_IN_0") / "LaunchWorker.ps1.log").read_text().splitlines()
    return json.loads([line for line in lines if line.startswith("about ")][-1].removeprefix("about "))


def log_folder(status: dict, name: str) -> Path:
    return Path(one(status, name)["log_folder"])


def processes(status: dict) -> list[int]:
    """The emulator, and every process below it now."""
    pids = [status["emulator"]["pid"]]
    for pid in pids:
        children = Path(f"/proc/{pid}/task/{pid}/children")
        pids += [int(child) for child in children.read_text().split()] if children.exists() else []
    return pids


def files_below(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


@pytest.fixture
def pair(service, rolepack):
    """The service `pair`, running detached."""
    place = service("pair")
    before = files_below(place / "roles")
    rolepack.ok("emulate", "--detach", cwd=place)
    yield place
    assert files_below(place / "roles") == before, "a run writes nothing below roles/"


def test_status_has_what_programs_read(pair, rolepack):
    status = rolepack.status(pair)
    assert (status["service"], status["configuration"]) == ("pair", "Local")
    assert set(status["emulator"]) == {"pid", "started", "grace"}
    assert status["endpoints"]["web/Endpoint1"].startswith("http://127.0.0.1:80")
    assert [instance["name"] for instance in status["instances"]] == ["web_IN_0", "web_IN_1", "jobs_IN_0"]
    for instance in status["instances"]:
        assert instance["state"] == "Ready"
        assert is_alive(instance["pid"])
        assert (instance["restarts"], instance["exit_code"], instance["reason"]) == (0, None, None)
        assert Path(instance["log_folder"]).is_dir()
    assert [task["state"] for task in one(status, "jobs_IN_0")["tasks"]] == ["Done", "Not run"]
    (endpoint,) = one(status, "web_IN_0")["endpoints"].values()
    assert set(endpoint) == {"protocol", "address", "port"}


def test_what_is_not_run_is_told(service, rolepack):
    place = service("pair")
    line = "jobs: `unknown.exe /quiet` is not run here\n"
    assert line in rolepack.ok("emulate", "--role", "jobs", "--detach", cwd=place)
    assert line in rolepack.ok("status", cwd=place)


def test_a_site_answers_at_every_endpoint_it_is_bound_to(service, rolepack):
    place = service("pair")
    path = place / "ServiceDefinition.csdef"
    text = path.read_text()
    text = text.replace("</Bindings>", '<Binding name="b" endpointName="Other" /></Bindings>')
    endpoint = '<InputEndpoint name="{}" protocol="http" port="{}" />'
    others = endpoint.format("Other", 82) + endpoint.format("Idle", 83)
    path.write_text(text.replace("</Endpoints>", f"{others}</Endpoints>", 1))
    rolepack.ok("emulate", "--role", "web", "--detach", cwd=place)
    endpoints = rolepack.status(place)["endpoints"]
    assert list(endpoints) == ["web/Endpoint1", "web/Other"]
    assert [json.loads(get(url))["colour"] for url in endpoints.values()] == ["green", "green"]


def test_the_public_port_goes_to_each_ready_instance(pair, rolepack):
    status = rolepack.status(pair)
    url = status["endpoints"]["web/Endpoint1"]
    answers = [json.loads(get(url)) for _ in range(40)]
    assert {answer["instance"] for answer in answers} == {"web_IN_0", "web_IN_1"}
    assert {(answer["colour"], answer["extra"]) for answer in answers} == {("green", "from lib")}
    for name in ("web_IN_0", "web_IN_1"):
        at = one(status, name)["endpoints"]["Endpoint1"]
        assert json.loads(get(f"http://{at['address']}:{at['port']}/"))["instance"] == name


def test_a_role_sees_what_the_fabric_promises(pair, rolepack):
    status = rolepack.status(pair)
    seen = about(pair, rolepack)
    environ = seen["environ"]
    here = one(status, "jobs_IN_0")
    port = str(here["endpoints"]["Echo"]["port"])
    deployment = status["deployment"]
    expected = {
        "EMULATED": "true",
        "RoleName": "jobs",
        **dict.fromkeys(("RoleInstanceID", "RoleInstanceId", "X_INSTANCE"), "jobs_IN_0"),
        **dict.fromkeys(("RoleDeploymentID", "RoleDeploymentId", "X_ID"), deployment),
        "RdRoleId": f"{deployment}.jobs_IN_0",
        "FIXED": "as it is",
        "X_EMULATED": "true",
        "X_ROLE": "jobs",
        "X_UPDATE": "0",
        "X_FAULT": "0",
        "X_TITLE": "Größe",
        "X_SIZE": "10",
        "X_PORT": port,
        "X_ADDRESS": "127.0.0.1",
        "X_PROTOCOL": "tcp",
    }
    assert {name: environ.get(name) for name in expected} == expected
    assert "STEP" not in environ
    assert Path(environ["PYTHON"]).exists()
    assert f"{environ['DiagnosticStore']}/LogFiles" == here["log_folder"]
    assert environ["X_CACHE"].endswith(f"Resources/Directory/{deployment}.jobs_IN_0.Cache")
    assert (Path(environ["RoleRoot"]) / "RoleModel.xml").is_file()
    assert (Path(environ["RoleRoot"]) / "approot" / "worker.py").is_file()
    assert seen["argv"] == ["two words"]
    document = json.loads(Path(environ["ROLE_ENVIRONMENT"]).read_text(encoding="utf-8"))
    assert document["current"]["endpoints"] == here["endpoints"]
    assert len(document["roles"]["web"]["instances"]) == 2
    with socket.create_connection(("127.0.0.1", int(port)), timeout=5) as connection:
        connection.sendall(b"echo")
        assert connection.recv(10) == b"echo"


def test_each_program_has_one_log_with_output_and_errors_in_order(pair, rolepack):
    status = rolepack.status(pair)
    for name in ("web_IN_0", "web_IN_1"):
        port = one(status, name)["endpoints"]["Endpoint1"]["port"]
        assert status_of(f"http://127.0.0.1:{port}/fail") == 500
    worker = (log_folder(status, "jobs_IN_0") / "LaunchWorker.ps1.log").read_text()
    assert worker.index("set up, step one") < worker.index("about {") < worker.index("an error line")
    for name in ("web_IN_0", "web_IN_1"):
        folder = log_folder(status, name)

        def found(folder=folder):
            return (folder / "W3SVC1").glob("u_ex*.log")

        site = until(lambda folder=folder: "my own fault" in (text := (folder / "Site.log").read_text()) and text)
        assert "the site is made" in site
        requests = until(lambda: next((path for path in found() if "/fail" in path.read_text()), None))
        fields, *lines = requests.read_text().splitlines()[2:]
        names = fields.removeprefix("#Fields: ").split()
        rows = [dict(zip(names, line.split(), strict=True)) for line in lines]
        assert [(row["cs-uri-stem"], row["sc-status"]) for row in rows] == [("/", "200"), ("/fail", "500")]


def test_a_killed_worker_comes_back_alone(pair, rolepack):
    before = rolepack.status(pair)
    seen = about(pair, rolepack)
    store, grandchild = Path(seen["environ"]["X_CACHE"]), seen["grandchild"]
    os.kill(one(before, "jobs_IN_0")["pid"], signal.SIGKILL)
    until(lambda: one(rolepack.status(pair), "jobs_IN_0")["restarts"] == 1)
    until(lambda: one(rolepack.status(pair), "jobs_IN_0")["state"] == "Ready")
    after = rolepack.status(pair)
    worker = one(after, "jobs_IN_0")
    assert not is_alive(grandchild), "also what left the process group"
    assert worker["exit_code"] == -9
    assert worker["reason"].startswith("killed by SIGKILL\n")
    assert "an error line" in worker["reason"]
    assert worker["pid"] != one(before, "jobs_IN_0")["pid"]
    for name in ("web_IN_0", "web_IN_1"):
        assert one(after, name) == one(before, name)
    assert (store / "runs").read_text() == "x", "cleaned on recycle"
    assert (store.with_suffix(".Kept") / "runs").read_text() == "xx", "kept on recycle"


def test_a_site_that_dies_is_replaced_and_the_other_answers_meanwhile(pair, rolepack):
    status = rolepack.status(pair)
    os.kill(one(status, "web_IN_0")["pid"], signal.SIGKILL)
    url = status["endpoints"]["web/Endpoint1"]
    until(lambda: one(rolepack.status(pair), "web_IN_0")["restarts"] == 1)
    assert json.loads(get(url))["instance"]
    until(lambda: one(rolepack.status(pair), "web_IN_0")["state"] == "Ready")


def test_a_process_of_a_site_that_dies_costs_its_request_alone(pair, rolepack):
    status = rolepack.status(pair)
    url = "http://127.0.0.1:{port}".format(**one(status, "web_IN_0")["endpoints"]["Endpoint1"])
    assert status_of(f"{url}/gone") == 500
    assert json.loads(get(url))["instance"] == "web_IN_0"
    assert one(rolepack.status(pair), "web_IN_0") == one(status, "web_IN_0")
    until(lambda: "/gone: The FastCGI process exited unexpectedly (exit code 7)." in rolepack.ok("logs", cwd=pair))


def test_a_second_emulator_is_refused_and_harms_nothing(pair, rolepack):
    before = rolepack.status(pair)
    message = rolepack.refused("emulate", "--detach", cwd=pair)
    assert f"runs already (process {before['emulator']['pid']}). Stop it" in message
    assert rolepack.status(pair) == before


def test_stop_ends_everything(pair, rolepack):
    pids = [*processes(rolepack.status(pair)), about(pair, rolepack)["grandchild"]]
    assert len(pids) > 5
    assert "Stopped 3 instances of service 'pair'" in rolepack.ok("stop", cwd=pair)
    assert not [pid for pid in pids if is_alive(pid)]
    assert "no emulator of this service is running. Start one" in rolepack.refused("status", cwd=pair)


@pytest.mark.parametrize("victim", ["emulator", "guard"])
def test_a_kill_of_the_emulator_leaves_no_process_and_the_next_start_works(pair, rolepack, victim):
    status = rolepack.status(pair)
    emulator = status["emulator"]["pid"]
    guard = int(Path(f"/proc/{emulator}/stat").read_text().rpartition(")")[2].split()[1])
    pids = [*processes(status), about(pair, rolepack)["grandchild"]]
    os.kill(guard if victim == "guard" else emulator, signal.SIGKILL)
    limit = 1.0 if victim == "emulator" else 5.0
    until(lambda: not [pid for pid in pids if is_alive(pid)], limit)
    rolepack.ok("emulate", "--detach", cwd=pair)


def test_ctrl_c_ends_everything_and_the_console_names_each_line(service, rolepack):
    place = service("pair")
    with rolepack.start(place) as console:
        lines = []
        for line in console.stdout:
            lines.append(line.rstrip())
            if "every instance is Ready" in line:
                break
        pids = [*processes(rolepack.status(place)), about(place, rolepack)["grandchild"]]
        emulator = pids[0]
        # A console sends Ctrl-C to its whole foreground group: the emulator and its guard, not the roles.
        for pid in (console.pid, emulator):
            os.kill(pid, signal.SIGINT)
        rest, errors = console.communicate(timeout=30)
    assert console.returncode == 0, errors
    assert not [pid for pid in pids if is_alive(pid)]
    lines += rest.splitlines()
    for expected in (
        "web_IN_0  > Starting",
        "web_IN_1  > Ready",
        "jobs_IN_0 | an error line",
        "jobs_IN_0 > task `unknown.exe /quiet` cannot run on this system, so it is not",
        "jobs_IN_0 > Stopped",
    ):
        assert expected in lines
    assert any(line.startswith("web/Endpoint1 is at http://127.0.0.1:") for line in lines)
    assert errors.replace("Preparing the environment of web …\n", "").count("Traceback") == 0


def test_a_second_ctrl_c_does_not_wait(service, rolepack):
    place = service("ignores-term")
    with rolepack.start(place) as console:
        until(lambda: "deaf" in console.stdout.readline())
        status = rolepack.status(place)
        emulator = status["emulator"]["pid"]
        os.kill(emulator, signal.SIGINT)
        until(lambda: one(rolepack.status(place), "jobs_IN_0")["state"] == "Stopping")
        assert is_alive(one(status, "jobs_IN_0")["pid"])
        began = time.monotonic()
        os.kill(emulator, signal.SIGINT)
        console.communicate(timeout=20)
    assert time.monotonic() - began < 5
    assert not is_alive(one(status, "jobs_IN_0")["pid"])


def test_a_program_that_exits_at_once_fails_the_detached_start(service, rolepack):
    place = service("exits-at-once")
    done = rolepack("emulate", "--detach", cwd=place)
    assert done.returncode == 1
    assert "jobs_IN_0 > Recycling: exit code 3; starts again at once\n" in done.stdout
    assert "jobs_IN_0 > Recycling: exit code 3; starts again in 0.1 s\n" in done.stdout
    assert done.stdout.endswith("jobs_IN_0 | bad start\n")
    assert done.stderr.endswith(
        "jobs_IN_0 ended 2 times before it was Ready. "
        "What it printed last stands above, all of it in `invoke logs`; mend that and start again.\n"
    )
    assert rolepack.ok("logs", cwd=place).count("jobs_IN_0 | bad start\n") == 2
    rolepack.refused("status", cwd=place)


def test_in_the_foreground_it_is_started_again_and_again(service, rolepack):
    place = service("exits-at-once")
    with rolepack.start(place):
        until(lambda: rolepack("status", cwd=place).returncode == 0)
        status = until(lambda: (now := rolepack.status(place)) and one(now, "jobs_IN_0")["restarts"] >= 4 and now)
        assert one(status, "jobs_IN_0")["reason"] == "exit code 3\nbad start"
        rolepack.ok("stop", cwd=place)


def test_a_failing_startup_task_keeps_the_role_from_starting(service, rolepack):
    place = service("task-fails")
    done = rolepack("emulate", "--detach", cwd=place)
    assert done.returncode == 1
    assert "Recycling: startup task `python setup.py` failed: exit code 1; starts again at once" in done.stdout
    assert done.stdout.endswith("jobs_IN_0 | no disk\n")
    assert "at work" not in rolepack.ok("logs", cwd=place)


def test_a_taken_port_gives_the_next_free_one_and_says_so(service, rolepack):
    place = service("pair")
    definition = place / "ServiceDefinition.csdef"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = definition.read_text(encoding="utf-8").replace('port="81"', f'port="{port}"')
        definition.write_text(text, encoding="utf-8")
        rolepack.ok("emulate", "--detach", "--role", "web", cwd=place)
        url = rolepack.status(place)["endpoints"]["web/Endpoint1"]
        found = int(url.rpartition(":")[2])
        assert found > port
        said = (place / ".rolepack/emulator/console.log").read_text()
        assert f"web/Endpoint1: port {port} is taken, so {found} is used" in said
        assert json.loads(get(url))["colour"] == "green"


def test_only_the_chosen_roles_run(service, rolepack):
    place = service("pair")
    rolepack.ok("emulate", "--detach", "--role", "jobs", cwd=place)
    status = rolepack.status(place)
    assert [instance["name"] for instance in status["instances"]] == ["jobs_IN_0"]
    assert status["endpoints"] == {}
    rolepack.ok("stop", cwd=place)
    refused = rolepack.refused("emulate", "--role", "mail", cwd=place)
    assert refused == "--role: there is no role 'mail'. Choose from web, jobs.\n"


def test_logs_follow_and_stay_after_the_end(service, rolepack):
    place = service("pair")
    rolepack.ok("emulate", "--detach", "--role", "jobs", cwd=place)
    argv = rolepack.argv("logs", "--follow", "--instance", "jobs_IN_0")
    with subprocess.Popen(argv, cwd=place, stdout=subprocess.PIPE, text=True) as follower:
        until(lambda: "an error line" in follower.stdout.readline())
        os.kill(one(rolepack.status(place), "jobs_IN_0")["pid"], signal.SIGKILL)
        until(lambda: "an error line" in follower.stdout.readline())
        follower.send_signal(signal.SIGINT)
    rolepack.ok("stop", cwd=place)
    kept = rolepack.ok("logs", cwd=place).splitlines()
    assert kept.count("jobs_IN_0 | an error line") == 2
    refused = rolepack.refused("logs", "--instance", "nobody_IN_0", cwd=place)
    assert refused == "--instance: there is no instance 'nobody_IN_0'. Choose from jobs_IN_0.\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_to_the_whole_group_stops_with_grace(number, service, rolepack):
    place = service("slow-to-end")
    with rolepack.start(place, new_group=True) as console:
        until(lambda: "at work" in console.stdout.readline())
        worker = one(rolepack.status(place), "jobs_IN_0")["pid"]
        os.killpg(console.pid, number)
        rest, errors = console.communicate(timeout=60)
    assert "jobs_IN_0 | saved\n" in rest
    assert "Traceback" not in errors
    assert not is_alive(worker)


def test_a_ctrl_c_at_any_early_moment_ends_cleanly(service, rolepack):
    place = service("slow-to-end")
    rolepack.ok("emulate", "--detach", cwd=place)
    rolepack.ok("stop", cwd=place)
    for delay in (0.2, 0.3, 0.4, 0.5):
        with rolepack.start(place, new_group=True) as console:
            time.sleep(delay)  # the moment is what is tested
            os.killpg(console.pid, signal.SIGINT)
            time.sleep(0.1)
            os.killpg(console.pid, signal.SIGINT)
            _, errors = console.communicate(timeout=60)
        assert "emulator" not in errors, errors
        assert "no emulator of this service is running" in rolepack.refused("status", cwd=place)


def test_chatty_roles_leave_the_emulator_able_to_answer(service, rolepack):
    place = service("chatty")
    rolepack.ok("emulate", "--detach", cwd=place)
    began = time.monotonic()
    status = rolepack.status(place)
    rolepack.ok("stop", cwd=place)
    assert time.monotonic() - began < 20
    for name in ("jobs_IN_0", "jobs_IN_3"):
        log = (log_folder(status, name) / "LaunchWorker.ps1.log").read_bytes()
        assert set(log) == set(b"y\n")


def test_a_task_in_the_background_is_told_when_it_ends(service, rolepack):
    place = service("background")
    rolepack.ok("emulate", "--detach", cwd=place)
    until(lambda: one(rolepack.status(place), "jobs_IN_0")["tasks"][0]["state"] != "Running")
    (task,) = one(rolepack.status(place), "jobs_IN_0")["tasks"]
    assert (task["state"], task["exit_code"]) == ("Failed", 3)


def test_a_stop_while_a_site_still_loads_does_not_wait(service, rolepack):
    place = service("pair")
    (place / "roles/web/site_app.py").write_text("import time\n\nprint('loading')\ntime.sleep(600)\n")
    with rolepack.start(place, "--role", "web") as console:
        until(lambda: "loading" in console.stdout.readline())
        began = time.monotonic()
        rolepack.ok("stop", cwd=place)
        console.communicate(timeout=60)
    assert time.monotonic() - began < 10


def test_roles_that_cannot_run_here_are_left_out(rolepack, service):
    place = service("rules-languages")
    told = rolepack.ok("emulate", "--detach", cwd=place)
    for name in ("net", "api"):
        assert f"{name} is left out: it is a .NET role" in told
    assert "page is left out: it is a web role in PHP, and only Python sites run here" in told
    assert "tool is left out: its entry point `tool.exe /quiet` cannot run on this system" in told
    running = {instance["role"]: instance["state"] for instance in rolepack.status(place)["instances"]}
    assert running["calc"] == "Ready"
    assert not running.keys() & {"net", "api", "page", "tool"}


@pytest.mark.parametrize(
    ("role", "reason"),
    [
        ("net", "--role: 'net' cannot run here: it is a .NET role"),
        ("tool", "role 'tool': its entry point `tool.exe /quiet` cannot run on this system"),
    ],
)
def test_a_role_that_is_asked_for_has_to_run(role, reason, rolepack, service):
    assert reason in rolepack.refused("emulate", "--role", role, cwd=service("rules-languages"))


def test_the_only_configuration_is_the_one_that_is_meant(rolepack, service):
    place = service("rules-legacy")
    (place / "roles/jobs/worker.py").write_text("import time\ntime.sleep(3600)\n")
    rolepack.ok("emulate", "--detach", "--role", "jobs", cwd=place)
    assert rolepack.status(place)["configuration"] == "Default"
