"""What `check` prints, for people and for programs."""

import json
import re

import pytest

from cloudservice import rules


@pytest.fixture
def faulty(service):
    place = service("rules-worker")
    (place / "roles/jobs/bin/watch.cmd").unlink()
    path = place / "ServiceConfiguration.Local.cscfg"
    path.write_text(path.read_text(encoding="utf-8").replace('osFamily="7"', 'osFamily="4"'), encoding="utf-8")
    return place


def test_text(rolepack, faulty):
    done = rolepack("check", cwd=faulty)
    assert done.returncode == 1
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith(
        "ServiceDefinition.csdef:24: the command line of role 'jobs' names bin\\watch.cmd, which"
    )
    assert lines[1].startswith("warning: ServiceDefinition.csdef:2: Azure's Cloud Services")
    assert lines[2].startswith("warning: ServiceDefinition.csdef:3: the Contents of role 'jobs' are not packaged here")
    assert lines[3].startswith("warning: ServiceConfiguration.Local.cscfg:2: osFamily 4 is Windows Server 2012 R2")
    assert re.fullmatch("1 error, 3 warnings in .*rules-worker.", lines[4])


def test_warnings_alone_do_not_fail(rolepack, service):
    told = rolepack.ok("check", cwd=service("rules-imports"))
    assert "jobs (Python worker), custom (Python worker); configurations Cloud. 0 errors, 4 warnings." in told


@pytest.mark.parametrize("words", [["--json"], ["--format", "json"]])
def test_json(words, rolepack, faulty):
    done = rolepack("check", *words, cwd=faulty)
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert (told["errors"], told["warnings"], told["service"], told["roles"]) == (1, 3, None, [])
    fault = next(fault for fault in told["faults"] if fault["level"] == "error")
    assert (fault["level"], fault["rule"], fault["file"], fault["line"]) == (
        "error",
        "missing-file",
        "ServiceDefinition.csdef",
        24,
    )
    assert {one["level"] for one in told["faults"]} == {"error", "warning"}


def test_json_tells_the_roles_of_a_service_that_is_right(rolepack, service):
    place = service("rules-languages")
    told = json.loads(rolepack.ok("check", "--json", cwd=place))
    assert told["service"] == "rules-languages"
    node = {"name": "node", "kind": "worker", "folder": str(place / "roles/node"), "language": "Node.js"}
    assert {**node, "requirements": False} in told["roles"]


def test_sarif(rolepack, faulty):
    done = rolepack("check", "--format", "sarif", cwd=faulty)
    assert done.returncode == 1
    log = json.loads(done.stdout)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    known = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in known] == sorted(rule["id"] for rule in known)
    assert {rule["id"] for rule in known} <= rules.RULES.keys()
    by_rule = {result["ruleId"]: result for result in run["results"]}
    assert set(by_rule) == {"missing-file", "part-left-out", "retired-platform", "retired-os"}
    result = by_rule["missing-file"]
    assert known[result["ruleIndex"]]["id"] == "missing-file"
    assert result["level"] == "error"
    assert result["locations"] == [
        {"physicalLocation": {"artifactLocation": {"uri": "ServiceDefinition.csdef"}, "region": {"startLine": 24}}}
    ]


def test_files_are_named_from_the_current_folder(rolepack, faulty):
    done = rolepack("check", "--service", faulty.name, "--format", "sarif", cwd=faulty.parent)
    results = json.loads(done.stdout)["runs"][0]["results"]
    uris = {result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in results}
    assert uris == {"rules-worker/ServiceDefinition.csdef", "rules-worker/ServiceConfiguration.Local.cscfg"}


def test_an_unknown_format_is_refused(rolepack, service):
    message = "--format: 'xml' is no format. Write one of text, json, sarif."
    assert message in rolepack.refused("check", "--format", "xml", cwd=service("pair"))


@pytest.mark.parametrize("words", [["--json"], ["--format", "sarif"]])
def test_a_program_can_read_that_there_is_no_service(words, rolepack, tmp_path):
    done = rolepack("check", *words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "there is no ServiceDefinition.csdef here or in a folder above" in done.stdout
    assert json.loads(done.stdout)


def test_names_that_are_no_text_do_not_stop_the_report(rolepack, faulty):
    source = faulty / "ServiceConfiguration.Local.cscfg"
    path = faulty / "ServiceConfiguration.\udcff é.cscfg"
    path.write_bytes(source.read_bytes())
    log = json.loads(rolepack("check", "--format", "sarif", cwd=faulty).stdout)
    results = log["runs"][0]["results"]
    uris = {result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in results}
    assert "ServiceConfiguration.%FF%20%C3%A9.cscfg" in uris
    assert "udcff" in rolepack("check", cwd=faulty).stdout


def test_a_service_is_named_in_any_case(rolepack, service):
    place = service("pair")
    (place / "ServiceDefinition.csdef").rename(place / "servicedefinition.CSDEF")
    assert rolepack("check", "--service", place.name, cwd=place.parent).returncode == 0
