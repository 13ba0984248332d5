"""Changes of a running service: what is asked for changes, one update domain at a time, and nothing else."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import free_port, get, is_alive, one, said, until

from emulator import control
from emulator.run import state_folder
from emulator.wishes import Watch, to_message


def names(status: dict) -> list[str]:
    return [instance["name"] for instance in status["instances"]]


@pytest.fixture
def pair(service, rolepack):
    place = service("pair")
    rolepack.ok("emulate", "--detach", cwd=place)
    return place


@contextlib.contextmanager
def clients(url: str) -> Iterator[list[str]]:
    """Ask without a pause while the block runs; gives what failed."""
    failed, done = [], threading.Event()

    def ask():
        while not done.is_set():
            try:
                assert json.loads(get(url))["colour"] == "green"
            except OSError as error:
                failed.append(f"{time.time()}: {error!r}")

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield failed
    finally:
        done.set()
        for thread in threads:
            thread.join()


def states(place: Path) -> tuple[list[dict], threading.Thread]:
    """The events of a running emulator, gathered in the background from now on."""
    found: list[dict] = []
    answers = control.ask(state_folder(place), to_message(Watch(output=False)), patience=None)
    next(answers)
    thread = threading.Thread(target=lambda: found.extend(answers), daemon=True)
    thread.start()
    return found, thread


def test_scaling_touches_nothing_else_and_loses_no_request(pair, rolepack):
    before = rolepack.status(pair)
    with clients(before["endpoints"]["web/Endpoint1"]) as failed:
        told = rolepack.ok("scale", "--role", "web=4", "--role", "jobs=2", cwd=pair).splitlines()
        more = rolepack.status(pair)
        assert rolepack.ok("scale", "--role", "web=1", cwd=pair).splitlines()[-1].startswith("web has 1 instance now")
        less = rolepack.status(pair)
    assert failed == []
    assert sorted(told[:-1]) == ["jobs_IN_1 is Ready", "web_IN_2 is Ready", "web_IN_3 is Ready"]
    assert told[-1].startswith("web has 4 instances, jobs has 2 instances now, until ")
    assert names(more) == ["web_IN_0", "web_IN_1", "web_IN_2", "web_IN_3", "jobs_IN_0", "jobs_IN_1"]
    assert {instance["state"] for instance in more["instances"]} == {"Ready"}
    for name in names(before):
        assert one(more, name) == one(before, name)
    assert names(less) == ["web_IN_0", "jobs_IN_0", "jobs_IN_1"]
    assert one(less, "web_IN_0") == one(before, "web_IN_0")
    assert not any(is_alive(one(more, name)["pid"]) for name in ("web_IN_1", "web_IN_2", "web_IN_3"))


def test_an_instance_that_ends_before_its_turn_to_leave_stays_away(service, rolepack):
    place = service("slow-to-end")
    definition = place / "ServiceDefinition.csdef"
    definition.write_text(
        definition.read_text().replace('name="slow-to-end"', 'name="slow-to-end" upgradeDomainCount="2"')
    )
    edit(place, '<Instances count="1" />', '<Instances count="4" />')
    worker = place / "roles/jobs/worker.py"
    worker.write_text(worker.read_text().replace("time.sleep(1)", "time.sleep(4)"))
    rolepack.ok("emulate", "--detach", cwd=place)
    last = one(rolepack.status(place), "jobs_IN_3")["pid"]
    with subprocess.Popen(rolepack.argv("scale", "--role", "jobs=1"), cwd=place, stdout=subprocess.PIPE) as scaling:
        until(lambda: one(rolepack.status(place), "jobs_IN_2")["state"] == "Stopping")
        os.kill(last, signal.SIGKILL)
        assert scaling.wait(60) == 0
    assert names(rolepack.status(place)) == ["jobs_IN_0"]
    assert said(place).count("jobs_IN_3 > Starting") == 1
    rolepack.ok("scale", "--role", "jobs=4", cwd=place)
    assert {one["state"] for one in rolepack.status(place)["instances"]} == {"Ready"}


def test_every_role_environment_knows_the_new_instances(pair, rolepack):
    folder = pair / ".rolepack/emulator/roles"
    seen = json.loads((folder / "web_IN_0/role-environment.json").read_text())
    assert len(seen["roles"]["jobs"]["instances"]) == 1
    rolepack.ok("scale", "--role", "jobs=3", cwd=pair)
    for name in ("web_IN_0", "jobs_IN_0", "jobs_IN_2"):
        seen = json.loads((folder / name / "role-environment.json").read_text())
        assert [jobs["id"] for jobs in seen["roles"]["jobs"]["instances"]] == ["jobs_IN_0", "jobs_IN_1", "jobs_IN_2"]
        assert seen["current"]["id"] == name


def test_a_role_restarts_by_update_domain_without_a_failed_request(pair, rolepack):
    before = rolepack.status(pair)
    events, _ = states(pair)
    with clients(before["endpoints"]["web/Endpoint1"]) as failed:
        told = rolepack.ok("restart", "--role", "web", cwd=pair).splitlines()
    assert failed == []
    assert told == ["web_IN_0 is Ready", "web_IN_1 is Ready", "Restarted web."]
    after = rolepack.status(pair)
    for name in ("web_IN_0", "web_IN_1"):
        assert one(after, name)["restarts"] == 1
        assert one(after, name)["reason"] == "it was asked to restart"
        assert one(after, name)["pid"] != one(before, name)["pid"]
    assert one(after, "jobs_IN_0") == one(before, "jobs_IN_0")
    order = [(event["instance"], event["state"]) for event in events if event["event"] == "state"]
    assert order.index(("web_IN_0", "Ready")) < order.index(("web_IN_1", "Stopping"))


def test_clients_that_keep_their_connections_lose_no_request_either(pair, rolepack):
    host = rolepack.status(pair)["endpoints"]["web/Endpoint1"].removeprefix("http://")
    failed, done, answered = [], threading.Event(), []

    def ask():
        connection = http.client.HTTPConnection(host, timeout=30)
        while not done.is_set():
            try:
                connection.request("GET", "/")
                answered.append(connection.getresponse().read())
            except (OSError, http.client.HTTPException) as error:
                failed.append(repr(error))
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        rolepack.ok("restart", "--role", "web", cwd=pair)
    done.set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len({json.loads(answer)["instance"] for answer in answered}) == 2


def test_one_instance_restarts(pair, rolepack):
    before = rolepack.status(pair)
    assert rolepack.ok("restart", "--instance", "jobs_IN_0", cwd=pair).endswith("Restarted jobs_IN_0.\n")
    after = rolepack.status(pair)
    assert one(after, "jobs_IN_0")["pid"] != one(before, "jobs_IN_0")["pid"]
    assert [one(after, name) for name in ("web_IN_0", "web_IN_1")] == before["instances"][:2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scale"], "scale: no role is named. Add --role NAME=N.\n"),
        (["scale", "--role", "web"], "--role: 'web' names no number of instances. Write NAME=N, as in frontend=3.\n"),
        (["scale", "--role", "web=0"], "--role: 'web=0' asks for 0 instances. Ask for 1 to 1000.\n"),
        (["scale", "--role", "web=1001"], "--role: 'web=1001' asks for 1001 instances. Ask for 1 to 1000.\n"),
        (["scale", "--role", "mail=1"], "--role: no role 'mail' runs here. Choose from web, jobs.\n"),
        (["restart"], "restart: nothing is named. Add --instance NAME or --role NAME.\n"),
        (["restart", "--role", "mail"], "--role: no role 'mail' runs here. Choose from web, jobs.\n"),
        (
            ["restart", "--instance", "x"],
            "--instance: there is no instance 'x'. Choose from web_IN_0, web_IN_1, jobs_IN_0.\n",
        ),
        (["exec", "--instance", "web_IN_0"], "exec: no command is named. Write it behind two dashes"),
        (["exec", "--instance", "x", "--", "true"], "--instance: there is no instance 'x'. Choose from "),
        (
            ["exec", "--instance", "web_IN_0", "--", "no-such-program"],
            "web_IN_0: there is no program 'no-such-program'",
        ),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(words, message, pair, rolepack):
    before = rolepack.status(pair)
    assert rolepack.refused(*words, cwd=pair).startswith(message)
    assert rolepack.status(pair) == before


def test_an_instance_that_does_not_come_up_is_told_and_stays_to_be_seen(pair, rolepack):
    worker = pair / "roles/jobs/worker.py"
    worker.write_text("raise SystemExit('no more')\n")
    message = rolepack.refused("scale", "--role", "jobs=2", cwd=pair)
    assert message == "jobs_IN_1: it does not come up: exit code 1. See `invoke logs`, and mend that.\n"
    status = rolepack.status(pair)
    assert one(status, "jobs_IN_0")["state"] == "Ready"
    assert one(status, "jobs_IN_1")["reason"] == "exit code 1\nno more"
    rolepack.ok("scale", "--role", "jobs=1", cwd=pair)
    assert names(rolepack.status(pair)) == ["web_IN_0", "web_IN_1", "jobs_IN_0"]


def test_connections_that_a_dying_site_has_not_accepted_are_served_by_another(pair, rolepack):
    """The site of one instance is stopped, so that the kernel queues for it, and then killed."""
    status = rolepack.status(pair)
    frozen = one(status, "web_IN_0")["pid"]
    os.kill(frozen, signal.SIGSTOP)
    answers, threads = [], []
    for _ in range(20):
        thread = threading.Thread(target=lambda: answers.append(get(status["endpoints"]["web/Endpoint1"])))
        thread.start()
        threads.append(thread)
    until(lambda: len(answers) >= 3)  # those of the other instance
    os.kill(frozen, signal.SIGKILL)
    for thread in threads:
        thread.join(30)
    assert len(answers) == 20


def test_a_command_runs_as_an_instance(pair, rolepack):
    code = "import os, sys; print(os.environ['RoleInstanceID'], os.getcwd(), sys.prefix != sys.base_prefix)"
    told = rolepack.ok("exec", "--instance", "jobs_IN_0", "--", "python", "-c", code, cwd=pair)
    assert told == f"jobs_IN_0 {pair / 'roles/jobs'} True\n"
    done = rolepack("exec", "--instance", "jobs_IN_0", "--", "python", "-c", "raise SystemExit(7)", cwd=pair)
    assert done.returncode == 7


def test_a_shell_is_that_of_an_instance(pair, rolepack):
    argv = rolepack.argv("shell", "--instance", "web_IN_1")
    environ = {**os.environ, "SHELL": "/bin/sh"}
    done = subprocess.run(
        argv, cwd=pair, env=environ, input="echo $RoleInstanceID; pwd\n", capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[1:] == ["web_IN_1", str(pair / "roles/web")]


def test_logs_are_chosen_by_role_time_and_text_in_the_order_of_time(pair, rolepack):
    everything = rolepack.ok("logs", cwd=pair)
    assert "jobs_IN_0 | an error line\n" in everything
    assert "web_IN_1 | the site is made\n" in everything
    assert {line.partition(" ")[0] for line in rolepack.ok("logs", "--role", "web", cwd=pair).splitlines()} == {
        "web_IN_0",
        "web_IN_1",
    }
    assert rolepack.ok("logs", "--grep", "^an err", cwd=pair) == "jobs_IN_0 | an error line\n"
    assert rolepack.ok("logs", "--grep", "^an err", "--since", "1h", cwd=pair) == "jobs_IN_0 | an error line\n"
    rows = [json.loads(line) for line in rolepack.ok("logs", "--json", cwd=pair).splitlines()]
    assert [row["moment"] for row in rows] == sorted(row["moment"] for row in rows)
    assert all(time.time() - 300 < row["moment"] < time.time() for row in rows)
    assert {row["log"] for row in rows} >= {"LaunchWorker.ps1.log", "Site.log"}
    assert {row["role"] for row in rows} == {"web", "jobs"}
    assert {row["deployment"] for row in rows} == {rolepack.status(pair)["deployment"]}
    then = max(row["moment"] for row in rows)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(then + 2))
    assert rolepack.ok("logs", "--since", moment, cwd=pair) == ""
    refused = rolepack.refused("logs", "--since", "soon", "--role", "web", cwd=pair)
    assert refused == "--since: 'soon' is no time. Write 90s, 10m, 2h or 3d, or a date and time as 2026-11-22T10:30.\n"
    assert rolepack.refused("logs", "--grep", "(", cwd=pair).startswith("--grep: '(' is no regular expression: ")
    assert rolepack.refused("logs", "--role", "x", cwd=pair) == "--role: there is no role 'x'. Choose from jobs, web.\n"


def test_logs_of_earlier_runs_are_there_and_following_goes_on_with_the_next(service, rolepack):
    place = service("pair")
    for _ in range(2):
        rolepack.ok("emulate", "--detach", "--role", "jobs", cwd=place)
        rolepack.ok("stop", cwd=place)
    assert rolepack.ok("logs", "--grep", "error line", cwd=place).count("\n") == 1
    assert rolepack.ok("logs", "--grep", "error line", "--since", "1h", cwd=place).count("\n") == 2
    argv = rolepack.argv("logs", "--follow", "--grep", "error line")
    with subprocess.Popen(argv, cwd=place, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout.readline() == "jobs_IN_0 | an error line\n"
        rolepack.ok("emulate", "--detach", "--role", "jobs", cwd=place)
        assert follower.stdout.readline() == "jobs_IN_0 | an error line\n"
        follower.send_signal(signal.SIGINT)


def edit(place: Path, old: str, new: str, configuration: str = "Local") -> None:
    path = place / f"ServiceConfiguration.{configuration}.cscfg"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def settings_of(place: Path, instance: str) -> dict:
    document = place / ".rolepack/emulator/roles" / instance / "role-environment.json"
    return json.loads(document.read_text(encoding="utf-8"))["current"]["settings"]


def test_a_changed_setting_arrives_and_recycles_its_role_alone(pair, rolepack):
    before = rolepack.status(pair)
    rolepack.ok("set", "jobs", "--setting", "Title=Neu", cwd=pair)
    until(lambda: one(rolepack.status(pair), "jobs_IN_0")["restarts"] == 1)
    until(lambda: one(rolepack.status(pair), "jobs_IN_0")["state"] == "Ready")
    after = rolepack.status(pair)
    assert settings_of(pair, "jobs_IN_0") == {"Title": "Neu"}
    log = Path(one(after, "jobs_IN_0")["log_folder"]) / "LaunchWorker.ps1.log"
    until(lambda: '"X_TITLE": "Neu"' in log.read_text())
    assert one(after, "jobs_IN_0")["reason"] == "its settings have changed"
    for name in ("web_IN_0", "web_IN_1"):
        assert one(after, name) == one(before, name)


def test_with_keep_a_changed_setting_arrives_without_a_recycle(service, rolepack):
    place = service("pair")
    (place / "invoke.yaml").write_text("on_change: keep\n")
    rolepack.ok("emulate", "--detach", cwd=place)
    before = rolepack.status(place)
    edit(place, "Größe", "Länge")
    until(lambda: settings_of(place, "jobs_IN_0") == {"Title": "Länge"})
    assert rolepack.status(place) == before
    (place / "invoke.yaml").write_text("on_change: later\n")
    assert "on_change is 'later'. Write `recycle`, or `keep`" in rolepack.refused("emulate", cwd=service_copy(place))


def service_copy(place: Path) -> Path:
    """The same service, where no emulator runs."""
    other = place.parent / "other"
    other.mkdir()
    for path in place.iterdir():
        if path.name != ".rolepack":
            (other / path.name).symlink_to(path)
    return other


def test_a_changed_count_adds_and_removes_instances(pair, rolepack):
    before = rolepack.status(pair)
    rolepack.ok("scale", "--role", "jobs=2", cwd=pair)
    rolepack.ok("set", "web", "--instances", "3", cwd=pair)
    until(lambda: names(rolepack.status(pair)) == ["web_IN_0", "web_IN_1", "web_IN_2", "jobs_IN_0", "jobs_IN_1"])
    rolepack.ok("set", "jobs", "--instances", "3", cwd=pair)
    until(lambda: "jobs_IN_2" in names(rolepack.status(pair)))
    rolepack.ok("set", "web", "--instances", "1", cwd=pair)
    until(lambda: names(rolepack.status(pair)) == ["web_IN_0", "jobs_IN_0", "jobs_IN_1", "jobs_IN_2"])
    assert one(rolepack.status(pair), "web_IN_0") == one(before, "web_IN_0")


def test_a_faulty_edit_is_refused_and_a_good_one_after_it_applied(pair, rolepack):
    before = rolepack.status(pair)
    edit(pair, "Größe", "Länge")
    edit(pair, "</ServiceConfiguration>", "")
    until(lambda: "is not applied; what it said before stays" in said(pair))
    (refused,) = rolepack.status(pair)["refused"]
    assert refused in said(pair)
    assert f"not applied: {refused}" in rolepack.ok("status", cwd=pair)
    assert refused.startswith("ServiceConfiguration.Local.cscfg:")
    assert {**rolepack.status(pair), "refused": []} == before
    assert settings_of(pair, "jobs_IN_0") == {"Title": "Größe"}
    path = pair / "ServiceConfiguration.Local.cscfg"
    path.write_text(path.read_text(encoding="utf-8") + "</ServiceConfiguration>", encoding="utf-8")
    until(lambda: settings_of(pair, "jobs_IN_0") == {"Title": "Länge"})
    assert rolepack.status(pair)["refused"] == []


def test_an_instance_that_ignores_the_request_is_killed_after_its_grace(service, rolepack):
    place = service("ignores-term")
    assert rolepack.refused("emulate", "--grace", "-1", cwd=place) == (
        "--grace: -1 is less than no time. Write 0 or more seconds.\n"
    )
    rolepack.ok("emulate", "--detach", "--grace", "0.5", cwd=place)
    pid = one(rolepack.status(place), "jobs_IN_0")["pid"]
    began = time.monotonic()
    rolepack.ok("stop", cwd=place)
    assert time.monotonic() - began < 10
    assert not is_alive(pid)
    assert "jobs_IN_0 > has not ended within 0.5 s, so it is killed" in said(place)


def answer_with(place: Path, word: str) -> None:
    """Change what the site says of its library."""
    (place / "roles/web/lib/extra.py").write_text(f'WORD = "{word}"\n')


def words(status: dict) -> set[str]:
    """What each web instance says of its library."""
    ports = [one["endpoints"]["Endpoint1"]["port"] for one in status["instances"] if one["role"] == "web"]
    return {json.loads(get(f"http://127.0.0.1:{port}/"))["extra"] for port in ports}


def test_an_upgrade_walks_the_update_domains_and_a_role_always_answers(pair, rolepack):
    before = rolepack.status(pair)
    answer_with(pair, "version two")
    events, _ = states(pair)
    with clients(before["endpoints"]["web/Endpoint1"]) as failed:
        told = rolepack.ok("upgrade", cwd=pair).splitlines()
    assert failed == []
    assert told[-1] == "Upgraded service 'pair' to the present sources."
    after = rolepack.status(pair)
    assert words(after) == {"version two"}
    assert {one["restarts"] for one in after["instances"]} == {1}
    assert after["endpoints"] == before["endpoints"]
    assert after["deployment"] == before["deployment"]
    order = [(event["instance"], event["state"]) for event in events if event["event"] == "state"]
    assert order.index(("jobs_IN_0", "Ready")) < order.index(("web_IN_1", "Stopping"))


def test_an_upgrade_that_does_not_come_up_goes_back(pair, rolepack):
    before = rolepack.status(pair)
    path = pair / "roles/web/site_app.py"
    broken = path.read_text().replace("def make():", "raise SystemExit('broken on purpose')\n\ndef make():")
    path.write_text(broken)
    answer_with(pair, "version two")
    with clients(before["endpoints"]["web/Endpoint1"]) as failed:
        message = rolepack.refused("upgrade", cwd=pair)
    assert failed == []
    assert message == "web_IN_0: it does not come up: exit code 1. See `invoke logs`, and mend that.\n"
    after = rolepack.status(pair)
    assert {one["state"] for one in after["instances"]} == {"Ready"}
    assert words(after) == {"from lib"}
    assert one(after, "web_IN_1") == one(before, "web_IN_1"), "its domain's turn never came"
    os.kill(one(after, "web_IN_1")["pid"], signal.SIGKILL)
    until(lambda: one(rolepack.status(pair), "web_IN_1")["restarts"] == 1)
    until(lambda: one(rolepack.status(pair), "web_IN_1")["state"] == "Ready")
    assert words(rolepack.status(pair)) == {"from lib"}, "also what recycles later runs what ran before"
    path.write_text(broken.replace("raise SystemExit", "str"))
    rolepack.ok("upgrade", cwd=pair)
    assert words(rolepack.status(pair)) == {"version two"}


def test_an_upgrade_brings_new_endpoints_settings_and_roles(service, rolepack):
    pair = service("pair")
    definition = pair / "ServiceDefinition.csdef"
    text = definition.read_text(encoding="utf-8").replace('port="81"', f'port="{free_port()}"')
    definition.write_text(text, encoding="utf-8")
    rolepack.ok("emulate", "--detach", cwd=pair)
    entry = (
        '<EntryPoint><ProgramEntryPoint commandLine="python worker.py" setReadyOnProcessStart="true" /></EntryPoint>'
    )
    more = f'<WorkerRole name="mail"><Runtime>{entry}</Runtime></WorkerRole></ServiceDefinition>'
    text = re.sub(r'(?<= )port="\d+"', f'port="{free_port()}"', text.replace("</ServiceDefinition>", more))
    text = text.replace('<Setting name="Title" />', '<Setting name="Title" /><Setting name="New" />')
    definition.write_text(text, encoding="utf-8")
    role = '<Role name="mail"><Instances count="1"/></Role></ServiceConfiguration>'
    setting = '<Setting name="New" value="n"/></ConfigurationSettings>'
    for path in pair.glob("*.cscfg"):
        text = path.read_text(encoding="utf-8").replace("</ServiceConfiguration>", role)
        path.write_text(text.replace("</ConfigurationSettings>", setting), encoding="utf-8")
    (pair / "roles/mail").mkdir()
    (pair / "roles/mail/worker.py").write_text("import time\ntime.sleep(3600)\n")
    before = rolepack.status(pair)
    rolepack.ok("upgrade", cwd=pair)
    after = rolepack.status(pair)
    assert names(after) == ["web_IN_0", "web_IN_1", "jobs_IN_0", "mail_IN_0"]
    assert list(after["endpoints"]) == ["web/Endpoint1"]
    assert after["endpoints"]["web/Endpoint1"] != before["endpoints"]["web/Endpoint1"]
    assert json.loads(get(after["endpoints"]["web/Endpoint1"]))["colour"] == "green"
    with pytest.raises(OSError, match="refused"):
        get(before["endpoints"]["web/Endpoint1"])
    assert settings_of(pair, "jobs_IN_0")["New"] == "n"


def test_an_upgrade_of_an_endpoint_keeps_its_port_and_loses_no_request(pair, rolepack):
    definition = pair / "ServiceDefinition.csdef"
    text = definition.read_text(encoding="utf-8").replace('port="81"', 'port="81" loadBalancerProbe="alive"')
    probe = '<LoadBalancerProbes><LoadBalancerProbe name="alive" protocol="http" path="/" /></LoadBalancerProbes>'
    definition.write_text(text.replace("<WebRole", f"{probe}<WebRole", 1), encoding="utf-8")
    before = rolepack.status(pair)
    with clients(before["endpoints"]["web/Endpoint1"]) as failed:
        rolepack.ok("upgrade", cwd=pair)
    assert failed == []
    after = rolepack.status(pair)
    assert after["endpoints"] == before["endpoints"]
    assert one(after, "web_IN_0")["probes"] == {"Endpoint1": True}


def test_an_upgrade_to_a_bundle_and_back_to_the_sources(pair, rolepack):
    answer_with(pair, "in the bundle")
    rolepack.ok("package", cwd=pair)
    answer_with(pair, "in the sources")
    assert "Upgraded service 'pair' to pair.cspkg.\n" in rolepack.ok(
        "upgrade", "--package", "dist/pair.cspkg", cwd=pair
    )
    assert words(rolepack.status(pair)) == {"in the bundle"}
    rolepack.ok("upgrade", cwd=pair)
    assert words(rolepack.status(pair)) == {"in the sources"}


def word(status: dict, name: str, endpoint: str = "Endpoint1") -> str:
    """What one web instance says of its library."""
    return json.loads(get(f"http://127.0.0.1:{one(status, name)['endpoints'][endpoint]['port']}/"))["extra"]


def by_instance(status: dict) -> dict[str, str]:
    """What each web instance says of its library."""
    return {one["name"]: word(status, one["name"]) for one in status["instances"] if one["role"] == "web"}


def site(place: Path, broken_on: str = "") -> None:
    """Let the site end as soon as it starts where the instance has one of these names, and nowhere else."""
    original = (Path(__file__).parent / "services/pair/roles/web/site_app.py").read_text()
    check = f"def make():\n    if os.environ['RoleInstanceID'] in {broken_on.split()}: raise SystemExit('broken')\n"
    (place / "roles/web/site_app.py").write_text(original.replace("def make():\n", check))


def domains(place: Path, old: int, new: int) -> None:
    """Give the service another number of update domains."""
    path = place / "ServiceDefinition.csdef"
    text = path.read_text(encoding="utf-8")
    assert f'upgradeDomainCount="{old}"' in text
    path.write_text(text.replace(f'Count="{old}"', f'Count="{new}"'), encoding="utf-8")


def kill(place: Path, rolepack, name: str) -> None:
    """Kill an instance's program and wait until it is back."""
    before = one(rolepack.status(place), name)
    os.kill(before["pid"], signal.SIGKILL)
    until(lambda: one(rolepack.status(place), name)["pid"] not in {None, before["pid"]})
    until(lambda: one(rolepack.status(place), name)["state"] == "Ready")


def copies(place: Path) -> int:
    return len(list((place / ".rolepack/emulator/versions").iterdir()))


def fails(rolepack, place: Path, name: str, *words: str) -> None:
    """An upgrade ends where this instance does not come up."""
    message = f"{name}: it does not come up: exit code 1. See `invoke logs`, and mend that.\n"
    assert rolepack.refused("upgrade", *words, cwd=place).endswith(message)


@pytest.fixture
def stopped(pair, rolepack):
    """A service whose upgrade has stopped: web_IN_0 and jobs_IN_0 run version two, web_IN_1 what ran before."""
    site(pair, broken_on="web_IN_1")
    answer_with(pair, "version two")
    before = rolepack.status(pair)
    with clients(before["endpoints"]["web/Endpoint1"]) as failed:
        done = rolepack("upgrade", "--on-failure", "stop", cwd=pair)
    assert failed == []
    assert done.returncode == 1
    assert done.stderr == "web_IN_1: it does not come up: exit code 1. See `invoke logs`, and mend that.\n"
    assert done.stdout.splitlines()[-1] == (
        "on web_IN_0, jobs_IN_0 the new version runs, on web_IN_1 what ran there before; "
        "mend the new one, then upgrade again"
    )
    assert {one["state"] for one in rolepack.status(pair)["instances"]} == {"Ready"}
    assert by_instance(rolepack.status(pair)) == {"web_IN_0": "version two", "web_IN_1": "from lib"}
    return pair


def test_each_instance_keeps_its_version_after_an_upgrade_that_has_stopped(stopped, rolepack):
    answer_with(stopped, "half mended")
    (stopped / "roles/jobs/worker.py").write_text("raise SystemExit('half mended')")
    rolepack.ok("restart", "--role", "web", "--role", "jobs", cwd=stopped)
    kill(stopped, rolepack, "web_IN_0")
    kill(stopped, rolepack, "web_IN_1")
    assert by_instance(rolepack.status(stopped)) == {"web_IN_0": "version two", "web_IN_1": "from lib"}
    rolepack.ok("scale", "--role", "web=4", "--role", "jobs=2", cwd=stopped)
    grown = {"web_IN_0": "version two", "web_IN_1": "from lib", "web_IN_2": "version two", "web_IN_3": "from lib"}
    assert by_instance(rolepack.status(stopped)) == grown, "an added instance has the version of its update domain"
    rolepack.ok("set", "jobs", "--setting", "Title=Neu", cwd=stopped)
    until(lambda: all(one(rolepack.status(stopped), f"jobs_IN_{number}")["restarts"] for number in (0, 1)))
    until(lambda: {one["state"] for one in rolepack.status(stopped)["instances"]} == {"Ready"})
    assert [settings_of(stopped, f"jobs_IN_{number}") for number in (0, 1)] == [{"Title": "Neu"}] * 2
    assert by_instance(rolepack.status(stopped)) == grown
    rolepack.ok("scale", "--role", "web=1", cwd=stopped)
    rolepack.ok("scale", "--role", "web=2", cwd=stopped)
    assert by_instance(rolepack.status(stopped)) == {"web_IN_0": "version two", "web_IN_1": "from lib"}


def test_an_upgrade_goes_on_from_where_one_has_stopped(stopped, rolepack):
    assert copies(stopped) == 2
    site(stopped)
    answer_with(stopped, "mended")
    rolepack.ok("upgrade", cwd=stopped)
    assert words(rolepack.status(stopped)) == {"mended"}
    until(lambda: copies(stopped) == 1)
    assert names(rolepack.status(stopped)) == ["web_IN_0", "web_IN_1", "jobs_IN_0"]


def test_an_upgrade_goes_back_from_where_one_has_stopped(stopped, rolepack):
    site(stopped)
    answer_with(stopped, "from lib")
    rolepack.ok("upgrade", "--on-failure", "stop", cwd=stopped)
    assert words(rolepack.status(stopped)) == {"from lib"}


def test_a_rollback_gives_each_instance_back_what_it_ran(stopped, rolepack):
    answer_with(stopped, "version three")
    fails(rolepack, stopped, "web_IN_1")
    assert by_instance(rolepack.status(stopped)) == {"web_IN_0": "version two", "web_IN_1": "from lib"}
    kill(stopped, rolepack, "web_IN_0")
    assert by_instance(rolepack.status(stopped)) == {"web_IN_0": "version two", "web_IN_1": "from lib"}


def test_a_stopped_upgrade_over_a_stopped_one_leaves_three_versions(service, rolepack):
    place = service("pair")
    domains(place, 2, 4)
    edit(place, '<Instances count="2" />', '<Instances count="4" />')
    rolepack.ok("emulate", "--detach", cwd=place)
    began = rolepack.status(place)
    site(place, broken_on="web_IN_2")
    answer_with(place, "version two")
    fails(rolepack, place, "web_IN_2", "--on-failure", "stop")
    assert one(rolepack.status(place), "web_IN_3") == one(began, "web_IN_3"), "its domain's turn never came"
    site(place, broken_on="web_IN_1")
    answer_with(place, "version three")
    fails(rolepack, place, "web_IN_1", "--on-failure", "stop")
    three = {"web_IN_0": "version three", "web_IN_1": "version two", "web_IN_2": "from lib", "web_IN_3": "from lib"}
    assert by_instance(rolepack.status(place)) == three
    assert copies(place) == 3
    answer_with(place, "version four")
    rolepack.ok("restart", "--role", "web", cwd=place)
    assert by_instance(rolepack.status(place)) == three
    site(place)
    rolepack.ok("upgrade", cwd=place)
    assert words(rolepack.status(place)) == {"version four"}


def test_an_upgrade_that_stops_at_its_first_domain_has_gone_back(pair, rolepack):
    site(pair, broken_on="web_IN_0")
    answer_with(pair, "version two")
    before = rolepack.status(pair)
    fails(rolepack, pair, "web_IN_0", "--on-failure", "stop")
    assert words(rolepack.status(pair)) == {"from lib"}
    assert one(rolepack.status(pair), "web_IN_1") == one(before, "web_IN_1")


MAIL = """<WorkerRole name="mail"><Runtime><EntryPoint>
  <ProgramEntryPoint commandLine="python worker.py" setReadyOnProcessStart="true" />
</EntryPoint></Runtime></WorkerRole></ServiceDefinition>"""


def other_definition(place: Path) -> None:
    """Rename the site's endpoint and give it another port, rename the setting, and add a role of two instances.

    The other version has the configuration Cloud, so that the one that runs sees nothing of the edits.
    """
    path = place / "ServiceDefinition.csdef"
    text = path.read_text(encoding="utf-8").replace("</ServiceDefinition>", MAIL).replace("Title'", "Heading'")
    text = text.replace('"Title"', '"Heading"')
    text = text.replace('"Endpoint1" protocol="http" port="81"', f'"Front" protocol="http" port="{free_port()}"')
    path.write_text(text.replace('endpointName="Endpoint1"', 'endpointName="Front"'), encoding="utf-8")
    edit(place, "Title", "Heading", "Cloud")
    edit(place, '<Instances count="4" />', '<Instances count="2" />', "Cloud")
    edit(place, "</ServiceC", '<Role name="mail"><Instances count="2" /></Role></ServiceC', "Cloud")
    (place / "roles/mail").mkdir()
    (place / "roles/mail/worker.py").write_text("import time\ntime.sleep(3600)\n")


def test_two_versions_with_other_endpoints_settings_and_roles_run_side_by_side(service, rolepack):
    pair = service("pair")
    for configuration in ("Local", "Cloud"):
        edit(pair, '<Instances count="1" />', '<Instances count="2" />', configuration)
    rolepack.ok("emulate", "--detach", cwd=pair)
    before = rolepack.status(pair)
    other_definition(pair)
    site(pair, broken_on="web_IN_1")
    answer_with(pair, "version two")
    fails(rolepack, pair, "web_IN_1", "--on-failure", "stop", "--configuration", "Cloud")
    mixed = rolepack.status(pair)
    assert names(mixed) == ["web_IN_0", "web_IN_1", "jobs_IN_0", "jobs_IN_1", "mail_IN_0"]
    assert {one["state"] for one in mixed["instances"]} == {"Ready"}
    assert sorted(mixed["endpoints"]) == ["web/Endpoint1", "web/Front"]
    assert one(mixed, "web_IN_1")["endpoints"] == one(before, "web_IN_1")["endpoints"]
    assert json.loads(get(mixed["endpoints"]["web/Endpoint1"]))["extra"] == "from lib"
    assert json.loads(get(mixed["endpoints"]["web/Front"]))["extra"] == "version two"
    seen = json.loads((pair / ".rolepack/emulator/roles/jobs_IN_0/role-environment.json").read_text(encoding="utf-8"))
    web = {each["id"]: list(each["endpoints"]) for each in seen["roles"]["web"]["instances"]}
    assert web == {"web_IN_0": ["Front"], "web_IN_1": ["Endpoint1"]}, "each is seen with what it has"
    edit(pair, "Größe", "Länge", "Cloud")
    until(lambda: settings_of(pair, "jobs_IN_0") == {"Heading": "Länge"})
    rolepack.ok("scale", "--role", "web=4", cwd=pair)  # after what the edit asks for is done
    assert settings_of(pair, "jobs_IN_1") == {"Title": "Größe"}
    assert one(rolepack.status(pair), "jobs_IN_1")["pid"] == one(mixed, "jobs_IN_1")["pid"], "it knows no such setting"
    for name in ("web_IN_0", "web_IN_1", "jobs_IN_1"):
        kill(pair, rolepack, name)
    assert names(rolepack.status(pair)) == [*(f"web_IN_{each}" for each in range(4)), *names(mixed)[2:]]
    site(pair)
    rolepack.ok("upgrade", cwd=pair)
    after = rolepack.status(pair)
    assert names(after)[-4:] == ["jobs_IN_0", "jobs_IN_1", "mail_IN_0", "mail_IN_1"]
    assert {word(after, f"web_IN_{each}", "Front") for each in range(4)} == {"version two"}
    assert list(after["endpoints"]) == ["web/Front"]


def test_a_rollback_of_renamed_endpoints_gives_them_back(pair, rolepack):
    before = rolepack.status(pair)
    other_definition(pair)
    site(pair, broken_on="web_IN_1")
    fails(rolepack, pair, "web_IN_1", "--configuration", "Cloud")
    after = rolepack.status(pair)
    assert names(after) == names(before)
    assert {one["state"] for one in after["instances"]} == {"Ready"}
    assert [one["endpoints"] for one in after["instances"]] == [one["endpoints"] for one in before["instances"]]
    assert after["endpoints"] == before["endpoints"]
    assert words(after) == {"from lib"}


def test_an_upgrade_that_stops_may_have_other_update_domains(service, rolepack):
    """The walk goes by the domains of before: of three, in which the instances 0 and 3 are the first to go."""
    place = service("pair")
    domains(place, 2, 3)
    edit(place, '<Instances count="2" />', '<Instances count="4" />')
    rolepack.ok("emulate", "--detach", cwd=place)
    domains(place, 3, 2)
    site(place, broken_on="web_IN_1")
    answer_with(place, "version two")
    fails(rolepack, place, "web_IN_1", "--on-failure", "stop")
    mixed = {"web_IN_0": "version two", "web_IN_1": "from lib", "web_IN_2": "from lib", "web_IN_3": "version two"}
    after = rolepack.status(place)
    assert by_instance(after) == mixed
    assert [one(after, f"web_IN_{each}")["restarts"] for each in (0, 2, 3)] == [1, 0, 1]
    rolepack.ok("restart", "--role", "web", cwd=place)
    assert by_instance(rolepack.status(place)) == mixed
    site(place)
    rolepack.ok("upgrade", cwd=place)
    after = rolepack.status(place)
    assert words(after) == {"version two"}
    assert [one(after, f"web_IN_{each}")["update_domain"] for each in range(4)] == [0, 1, 0, 1]


def test_a_word_that_says_nothing_of_failure_is_refused(service, rolepack):
    refused = rolepack.refused("upgrade", "--on-failure", "x", cwd=service("pair"))
    assert refused == "--on-failure: 'x' is neither rollback nor stop. Write one of them.\n"


WORKER = "import time\nprint('at work', flush=True)\ntime.sleep(3600)\n"


def tasks_of(place: Path, *tasks: tuple[str, str]) -> None:
    """Give the worker of `pair` these startup tasks, as command line and type, and let it only sleep."""
    definition = place / "ServiceDefinition.csdef"
    text = definition.read_text(encoding="utf-8")
    begin, end = text.index("    <Startup>"), text.index("</Startup>")
    lines = "".join(f'<Task commandLine="{line}" taskType="{kind}" />' for line, kind in tasks)
    definition.write_text(f"{text[:begin]}<Startup>{lines}{text[end:]}", encoding="utf-8")
    (place / "roles/jobs/worker.py").write_text(WORKER)


def test_a_foreground_task_holds_the_recycle_but_not_the_stop(service, rolepack):
    place = service("pair")
    tasks_of(place, ("python hold.py", "foreground"))
    hold = "import os, time\nprint(os.getpid(), flush=True)\nwhile not os.path.exists('/PLACE/go'): time.sleep(0.02)\n"
    (place / "roles/jobs/hold.py").write_text(hold.replace("/PLACE", str(place)))
    rolepack.ok("emulate", "--detach", "--role", "jobs", cwd=place)
    before = one(rolepack.status(place), "jobs_IN_0")
    os.kill(before["pid"], signal.SIGKILL)
    until(lambda: "waits for its foreground task `python hold.py`, which still runs" in said(place))
    assert one(rolepack.status(place), "jobs_IN_0")["tasks"][0]["state"] == "Running"
    (place / "go").touch()
    until(lambda: one(rolepack.status(place), "jobs_IN_0")["state"] == "Ready")
    (place / "go").unlink()
    rolepack.ok("restart", "--instance", "jobs_IN_0", cwd=place)
    log = Path(one(rolepack.status(place), "jobs_IN_0")["log_folder"]) / "LaunchWorker.ps1.log"
    holder = [int(line) for line in log.read_text().splitlines() if line.isdigit()][-1]
    assert is_alive(holder)
    began = time.monotonic()
    rolepack.ok("stop", cwd=place)
    assert time.monotonic() - began < 10
    assert not is_alive(holder)


def test_simple_tasks_run_one_by_one_after_the_others_have_started(service, rolepack):
    place = service("pair")
    tasks_of(place, ("python step.py a", "simple"), ("python step.py b", "background"), ("python step.py c", "simple"))
    step = "import sys, time\nprint('begin', sys.argv[1], flush=True)\ntime.sleep(0.5)\nprint('end', sys.argv[1])\n"
    (place / "roles/jobs/step.py").write_text(step)
    rolepack.ok("emulate", "--detach", "--role", "jobs", cwd=place)
    until(lambda: "end b" in rolepack.ok("logs", cwd=place))
    lines = [line.removeprefix("jobs_IN_0 | ") for line in rolepack.ok("logs", cwd=place).splitlines()]
    assert lines.index("begin b") < lines.index("end a"), "those that are not simple start first"
    simple = [line for line in lines if not line.endswith("b")]
    assert simple == ["begin a", "end a", "begin c", "end c", "at work"]
    rolepack.ok("restart", "--role", "jobs", cwd=place)
    until(lambda: rolepack.ok("logs", cwd=place).count("at work") == 2)
    assert rolepack.ok("logs", cwd=place).count("end c") == 2, "each recycle runs the tasks again"


def test_scripts_for_windows_have_twins_here(service, rolepack):
    place = service("pair")
    tasks_of(place, ("setup.cmd one %RoleName%", "simple"), ("tools\\fill.bat", "simple"), ("none.cmd", "simple"))
    role = place / "roles/jobs"
    (role / "tools").mkdir()
    for name in ("setup.cmd", "tools/fill.bat", "none.cmd"):
        (role / name).write_text("@echo off\r\n")
    (role / "setup.sh").write_text('echo "shell $*"\n')
    (role / "tools/fill.py").write_text("import os; print('python in', os.getcwd())\n")
    assert "jobs: `none.cmd` is not run here\n" in rolepack.ok("emulate", "--detach", "--role", "jobs", cwd=place)
    tasks = one(rolepack.status(place), "jobs_IN_0")["tasks"]
    assert [task["state"] for task in tasks] == ["Done", "Done", "Not run"]
    told = rolepack.ok("logs", cwd=place)
    assert "jobs_IN_0 | shell one jobs\n" in told
    assert f"jobs_IN_0 | python in {role}\n" in told


def test_a_script_of_powershell_runs_where_that_is(service, rolepack, tmp_path):
    place = service("pair")
    tasks_of(place, ("powershell -ExecutionPolicy Unrestricted .\\own.ps1 word", "simple"))
    (place / "roles/jobs/own.ps1").write_text("Write-Host hello")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "pwsh").write_text('#!/bin/sh\necho pwsh was told "$@"\n')
    (programs / "pwsh").chmod(0o755)
    path = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    rolepack.ok("emulate", "--detach", "--role", "jobs", cwd=place, **path)
    told = rolepack.ok("logs", cwd=place)
    script = place / ".rolepack/emulator/roles/jobs_IN_0/approot/own.ps1"
    assert f"jobs_IN_0 | pwsh was told -NoProfile -NonInteractive -File {script} word\n" in told


def test_an_entry_point_may_be_any_program_of_the_role(service, rolepack):
    place = service("pair")
    definition = place / "ServiceDefinition.csdef"
    text = definition.read_text(encoding="utf-8")
    definition.write_text(text.replace("python worker.py &quot;two words&quot;", r"bin\serve.sh one"), encoding="utf-8")
    (place / "roles/jobs/bin").mkdir()
    (place / "roles/jobs/bin/serve.sh").write_text('echo "serving $1 as $RoleInstanceID"; exec sleep 600\n')
    rolepack.ok("emulate", "--detach", "--role", "jobs", cwd=place)
    assert "jobs_IN_0 | serving one as jobs_IN_0\n" in rolepack.ok("logs", cwd=place)


@pytest.mark.parametrize(
    "wish",
    [
        {"wish": "dance"},
        {},
        {"wish": "scale"},
        {"wish": "scale", "counts": [1]},
        {"wish": "status", "NAME": "stop"},
        {"wish": "upgrade", "run": "/etc/passwd"},
        {"wish": "upgrade", "run": "PLACE/.rolepack/emulator/run-1.json", "on_failure": "x"},
    ],
)
def test_a_wish_that_nobody_knows_is_answered_and_harms_nothing(wish, service, rolepack):
    place = service("background")
    rolepack.ok("emulate", "--detach", cwd=place)
    wish = {key: value.replace("PLACE", str(place)) if key == "run" else value for key, value in wish.items()}
    (answer,) = control.ask(state_folder(place), wish)
    assert answer["faults"][0]["wrong"] == "this emulator does not know that wish"
    assert rolepack.status(place)["instances"][0]["state"] == "Ready"
    assert (place / ".rolepack/emulator/emulator.log").read_text() == ""


def test_a_subscriber_gets_events_and_output(service, rolepack):
    place = service("slow-to-end")
    rolepack.ok("emulate", "--detach", cwd=place)
    answers = control.ask(state_folder(place), to_message(Watch(output=True)), patience=30)
    assert next(answers)["snapshot"]["service"]
    rolepack.ok("stop", cwd=place)
    events = list(answers)
    assert {"event": "output", "instance": "jobs_IN_0", "text": "saved\n"} in events
    assert {"event": "state", "instance": "jobs_IN_0", "state": "Stopping", "why": ""} in events
