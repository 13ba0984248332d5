"""Publishing to Windows machines: real commands of cmd.exe and Windows' Python, behind a double of WinRM."""

import json
import re

import pytest
import tree_sitter_pwsh
import windows as wine
from conftest import until
from farm import WORKER
from tree_sitter import Language, Parser

from publisher import bootstrap, hosts

MISSING = wine.why_not()
pytestmark = [pytest.mark.wine, pytest.mark.network, pytest.mark.skipif(bool(MISSING), reason=str(MISSING))]
TASKS = """<Startup>
  <Task commandLine="python -u task.py elevated" executionContext="elevated" taskType="simple" />
  <Task commandLine="python -u task.py limited" executionContext="limited" taskType="simple" />
</Startup>"""
DIES_ON_THE_SECOND = WORKER.replace("print(", "if here['id'] == 'api_IN_1':\n    raise SystemExit(7)\nprint(")
DIES = "import sys\nprint('no such table: orders {version}')\nsys.exit(3)\n"


def test_a_version_comes_to_a_machine_and_serves(one):
    said = one.publish("1")
    answer = one.answer()
    assert (answer["version"], answer["instance"], answer["greeting"]) == ("1", "api_IN_0", "hello")
    assert answer["root"].startswith(one.root_of(0) + "\\shop\\a\\")
    assert "m0: api_IN_0: Ready" in said
    assert "runs in production on 1 host" in said
    assert one.machines[0].tasks() == {
        "rolepack\\shop\\a\\api_IN_0": "Running",
        "rolepack\\shop\\switch": "Ready",
    }
    assert [(rule["localport"], rule["action"]) for rule in one.machines[0].rules] == [(str(one.port), "allow")]
    assert one.hosts[0].service.shells == {}, "a shell was left behind"


def test_what_lies_on_a_machine_is_what_the_bundle_has(one):
    file = one.package("1")
    one.ok("publish", "--yes")
    one.ok("extract", file, "--output", one.folder / "laid")
    (version,) = [path for path in (one.disk(0) / "shop/a").iterdir() if path.is_dir() and len(path.name) == 12]
    there = {path.relative_to(version / "api_IN_0"): path.read_bytes() for path in version.rglob("*") if path.is_file()}
    laid = one.folder / "laid" / "api"
    wanted = {path.relative_to(laid): path.read_bytes() for path in laid.rglob("*") if path.is_file()}
    assert {path: there.get(path) for path in wanted} == wanted


def test_a_line_that_changes_sends_little_and_asks_seldom(one):
    filler = one.folder / "roles" / "api" / "filler.bin"
    filler.parent.mkdir(parents=True)
    filler.write_bytes(bytes(range(256)) * 4000)
    one.publish("1")
    one.package("2")
    one.hosts[0].requests.clear()
    told = json.loads(one.ok("publish", "--yes", "--json"))
    assert told["hosts"][0]["bytes"] < 20_000
    assert told["round_trips"] == {"m0": 3}, "a question, the switch with the content, a note"
    assert one.versions() == ["2"]


def test_a_plan_changes_nothing(one):
    one.package("1")
    said = one.ok("publish", "--dry-run")
    assert "0       m0    nothing  api_IN_0" in said
    assert one.answer() is None
    assert not (one.disk(0) / "shop").exists()
    refused = one.refused("publish")
    assert "nobody is here to agree. Add --yes" in refused
    assert one.answer() is None


def test_update_domains_are_walked_one_after_the_other(two):
    said = two.publish("1").splitlines()
    order = [line for line in said if "update domain" in line or ": Ready" in line]
    assert order == [
        "update domain 0: m0",
        "m0: api_IN_0: Ready",
        "update domain 1: m1",
        "m1: api_IN_1: Ready",
    ]
    assert two.answer(1)["others"] == ["api_IN_0", "api_IN_1"]


def test_a_version_that_does_not_come_up_goes_back_everywhere(two):
    two.publish("1")
    two.package("2", worker=DIES_ON_THE_SECOND)
    done = two.run("publish", "--yes")
    assert done.returncode == 1
    assert "host 'm1', api_IN_1: it does not come up: its program has ended with code 7" in done.stderr
    assert "what ran before comes back on m0, m1" in done.stdout
    assert two.versions() == ["1", "1"]
    history = json.loads(two.ok("deployments", "--json"))["history"]
    assert [line["result"].partition(":")[0] for line in history] == ["failed", "done"]


def test_on_failure_stop_leaves_what_has_come_up(two):
    two.publish("1")
    two.package("2", worker=DIES_ON_THE_SECOND)
    done = two.run("publish", "--yes", "--on-failure", "stop")
    assert done.returncode == 1
    assert "m0 stay with what is new" in done.stdout
    assert two.versions() == ["2", "1"]
    assert "neither rollback nor stop" in two.refused("publish", "--yes", "--on-failure", "hope")


def test_a_first_version_that_fails_shows_its_last_lines_and_leaves_nothing_running(one):
    one.package("1", worker=DIES)
    done = one.run("publish", "--yes")
    assert done.returncode == 1
    assert "m0: api_IN_0 | python.log: no such table: orders 1" in done.stdout
    assert one.machines[0].tasks() == {"rolepack\\shop\\switch": "Ready"}
    assert one.publish("2")
    assert one.versions() == ["2"]


def test_rollback_goes_back_and_retire_removes_what_is_kept(one):
    one.publish("1")
    first = json.loads(one.ok("deployments", "--json"))["hosts"][0]["production"]["version"]
    assert f"version {first} runs in production. Publish another one first" in one.refused("retire", first, "--yes")
    one.publish("2")
    second = json.loads(one.ok("deployments", "--json"))["hosts"][0]["production"]["version"]
    assert f"Version {first} runs in production again." in one.ok("rollback", "--yes")
    assert one.versions() == ["1"]
    assert "its production has run nothing before" in one.refused("rollback", "--yes")
    assert f"Removed version {second} from m0." in one.ok("retire", second, "--yes")
    one.publish("3")
    assert f"Removed version {first} from m0." in one.ok("retire", first, "--yes")
    assert not (one.disk(0) / "shop/a" / first).exists()
    assert f"no host has a version that begins with '{first}'" in one.refused("retire", first, "--yes")


def test_three_versions_are_kept(one):
    for version in "1234":
        one.publish(version)
    kept = [path for path in (one.disk(0) / "shop/a").iterdir() if path.is_dir() and len(path.name) == 12]
    assert len(kept) == 3
    listed = {sha for path in (one.disk(0) / "shop/versions").glob("*.json") for sha in json.loads(path.read_text())}
    assert {path.name for path in (one.disk(0) / "shop/parts").glob("*/*")} == listed
    one.ok("rollback", "--yes")
    one.ok("rollback", "--yes")
    assert one.versions() == ["2"]


def test_slots_change_places_without_a_copy(one):
    one.publish("1")
    assert "its staging runs nothing" in one.refused("swap", "--yes")
    one.publish("2", "--slot", "staging")
    assert (one.versions(), one.versions("staging")) == (["1"], ["2"])
    before = set(one.disk(0).rglob("approot"))
    one.ok("swap", "--yes")
    assert (one.versions(), one.versions("staging")) == (["2"], ["1"])
    assert set(one.disk(0).rglob("approot")) == before
    one.publish("3")
    assert (one.versions(), one.versions("staging")) == (["3"], ["1"])
    assert "there is no slot 'blue'. Choose from production, staging" in one.refused("publish", "--slot", "blue")


def test_settings_change_without_a_new_version(one):
    one.publish("1")
    one.configure(greeting="good evening")
    beside = one.folder / "dist" / "ServiceConfiguration.Cloud.cscfg"
    beside.write_text(beside.read_text().replace("good evening", "hello"))
    said = one.ok("publish", "--yes")
    assert (
        "ServiceConfiguration.Cloud.cscfg says something else by now: package again, or change settings alone" in said
    )
    assert one.answer()["greeting"] == "hello"
    one.ok("publish", "--yes", "--configuration-only")
    assert (one.answer()["greeting"], one.answer()["version"]) == ("good evening", "1")
    one.package("2")
    assert "its production runs version" in one.refused("publish", "--yes", "--configuration-only")
    one.ok("rollback", "--yes")
    assert one.answer()["greeting"] == "hello"


def test_an_instance_more_starts_and_the_others_learn_of_it(two):
    two.configure(instances=1)
    two.publish("1")
    assert two.versions() == ["1", None]
    before = two.machines[0].calls()
    two.configure(instances=2)
    two.ok("publish", "--yes", "--configuration-only")
    assert two.versions() == ["1", "1"]
    assert two.answer(1)["others"] == ["api_IN_0", "api_IN_1"]
    calls = two.machines[0].calls()[len(before) :]
    assert not [call for call in calls if "rolepack\\shop\\a\\api_IN_0" in call], (
        "an instance that is the same was restarted"
    )
    two.configure(instances=1)
    two.ok("publish", "--yes", "--configuration-only")
    assert two.versions() == ["1", None]


def test_startup_tasks_run_in_their_order_and_one_that_fails_keeps_the_old_version(one):
    task = one.folder / "roles" / "api" / "task.py"
    task.parent.mkdir(parents=True)
    task.write_text("import sys\nprint('task', sys.argv[1])\n")
    one.publish("1", startup=TASKS)
    (log,) = one.disk(0).rglob("LogFiles/python.log")
    assert log.read_text().split() == ["task", "elevated", "task", "limited", "api_IN_0", "serves", "1"]
    task.write_text("import sys\nprint('cannot', sys.argv[1])\nsys.exit(5 if sys.argv[1] == 'limited' else 0)\n")
    one.package("2", startup=TASKS)
    done = one.run("publish", "--yes")
    assert done.returncode == 1
    assert "api_IN_0: its startup task `python -u task.py limited` has ended with code 5" in done.stderr
    assert "python.log: cannot limited" in done.stdout
    assert one.versions() == ["1"]


def test_the_verbs_of_the_emulator_have_a_remote_half(one):
    one.publish("1")
    now = json.loads(one.ok("status", "--remote", "--json"))
    (instance,) = now["instances"]
    assert (instance["name"], instance["state"], instance["host"]) == ("api_IN_0", "Ready", "m0")
    assert instance["endpoints"]["Api"]["port"] == one.port
    assert re.search(r"m0    [0-9a-f]{12}  api_IN_0  Ready", one.ok("status", "--remote"))
    assert one.ok("logs", "--remote") == "api_IN_0 | api_IN_0 serves 1\n"
    done = one.run("exec", "--remote", "--instance", "api_IN_0", "--", "python", "-c", "import os, sys; sys.exit(4)")
    assert done.returncode == 4
    line = "import os; print(os.environ['RoleInstanceID'], os.path.exists('worker.py'))"
    assert one.ok("exec", "--remote", "--instance", "api_IN_0", "--", "python", "-c", line) == "api_IN_0 True\n"
    one.ok("restart", "--remote", "--instance", "api_IN_0")
    again = [json.loads(text) for text in one.ok("logs", "--remote", "--json").splitlines()]
    assert [line["text"] for line in again] == ["api_IN_0 serves 1"] * 2
    assert again[0]["moment"] < again[1]["moment"]
    assert one.ok("status", "--remote", "--slot", "staging") == "Staging of service 'shop' runs nothing.\n"
    assert "staging: there are no logs. Publish to staging" in one.refused("logs", "--remote", "--slot", "staging")
    for verb in ("restart", "exec"):
        words = ("--instance", "api_IN_9", *(("--", "ver") if verb == "exec" else ()))
        assert "there is no instance 'api_IN_9' in production. Choose from api_IN_0" in one.refused(
            verb, "--remote", *words
        )


def test_after_a_restart_of_windows_the_worker_is_back(one):
    one.publish("1")
    one.machines[0].boot()
    until(lambda: one.versions() == ["1"])


def test_hosts_are_asked_what_they_are(two):
    two.package("1")
    said = two.ok("hosts")
    assert "2 hosts answered." in said
    told = json.loads(two.ok("hosts", "--json", "--host", "m1"))["hosts"]
    assert [(one["host"], one["is_administrator"], one["python"][:4]) for one in told] == [("m1", True, "3.11")]
    assert abs(told[0]["skew"]) < 5


def test_a_host_without_python_is_given_one_by_powershell(one, tmp_path):
    """What PowerShell does with the script is not to be had here; that it gets it, and all of it, is."""
    one.package("1")
    one.write_hosts(python=None)
    told = one.refused("hosts")
    assert f"there is no {one.root_of(0)}\\python\\tools\\python.exe for rolepack's own programs" in told
    assert "Run `invoke hosts --prepare`" in told
    done = one.run("hosts", "--prepare")
    assert f"m0: gets Python {bootstrap.VERSION}, which it fetches" in done.stdout
    assert "host 'm0', preparing: PowerShell says nothing" in done.stderr
    for is_sent in (True, False):
        text = bootstrap.script(hosts.load(one.folder / "hosts.yaml").machines[0], is_sent)
        assert not Parser(Language(tree_sitter_pwsh.language())).parse(text.encode()).root_node.has_error
    (script,) = [call[1] for call in one.machines[0].calls() if call[0] == "script"]
    assert script == text
    package = tmp_path / "python.nupkg"
    package.write_bytes(b"no zip")
    assert "it is no NuGet package of Python" in one.refused("hosts", "--prepare", "--with-python", package)


def test_what_a_machine_proves_is_told_and_what_it_does_not_is_an_error(one):
    """A double has no accounts: a task runs as whoever started it, and says so."""
    one.package("1")
    done = one.run("hosts", "--self-test")
    assert done.returncode == 1
    lines = {line.split("  ")[-1]: line.split()[1] for line in done.stdout.splitlines()}
    assert lines["a megabyte arrives as it was sent"] == "ok"
    assert lines["a program ends with all that it has started"] == "ok"
    assert lines["a file is replaced while it is read"] == "ok"
    assert lines["the firewall takes a rule"] == "ok"
    assert lines["a task runs as NETWORK SERVICE"] == "failed"
    assert "a task runs as NETWORK SERVICE: it runs as " in done.stderr
    assert not (one.disk(0) / "shop" / "self-test").exists()
    assert [name for name in one.machines[0].tasks() if "self-test" in name] == []


def test_a_folder_that_is_not_rolepack_s_is_left_alone(one):
    one.package("1")
    one.disk(0).mkdir(parents=True)
    (one.disk(0) / "data.txt").write_text("mine")
    told = one.refused("publish", "--yes")
    assert "is there already, and is not rolepack's: name another folder as `root` in hosts.yaml" in told
    assert [path.name for path in one.disk(0).iterdir()] == ["data.txt"]


def test_a_host_is_emptied_before_it_leaves(two):
    two.publish("1")
    told = json.loads((two.folder / "hosts.yaml").read_text())
    told["hosts"]["m1"]["roles"] = []
    (two.folder / "hosts.yaml").write_text(json.dumps(told))
    two.configure(instances=1)
    two.ok("publish", "--yes", "--configuration-only")
    assert two.versions() == ["1", None]
    assert two.machines[1].tasks() == {"rolepack\\shop\\switch": "Ready"}
    assert two.machines[1].rules == []


def test_a_worker_that_dies_is_back_and_a_dead_one_is_not_called_ready(one):
    one.publish("1")
    life = next(one.disk(0).rglob("life.json"))
    pid = json.loads(life.read_text())["pid"]
    one.ok("exec", "--remote", "--instance", "api_IN_0", "--", "taskkill", "/f", "/pid", str(pid))
    until(lambda: one.versions() == ["1"] and json.loads(life.read_text())["restarts"] == 1)
    (instance,) = json.loads(one.ok("status", "--remote", "--json"))["instances"]
    assert (instance["state"], instance["restarts"]) == ("Ready", 1)
    one.ok("publish", "--yes")
    # Its runner too: what life.json says last is not believed.
    end = ("schtasks", "/end", "/tn", "rolepack\\shop\\a\\api_IN_0")
    one.ok("exec", "--remote", "--instance", "api_IN_0", "--", *end)
    (instance,) = json.loads(one.ok("status", "--remote", "--json"))["instances"]
    assert instance["state"] != "Ready"
    one.ok("publish", "--yes")
    assert one.versions() == ["1"]
