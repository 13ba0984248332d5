"""Counts, settings and roles are changed in the files, and every other byte of them stays."""

import codecs

import pytest

from cloudservice import changes, configuration, folder, location
from cloudservice.errors import ServiceError

STRANGE = f"""<?xml version='1.0'?>\r
<!-- kept -->\r
<c:ServiceConfiguration serviceName="pair" xmlns:c="{configuration.NAMESPACE}" osFamily = '7'>\r
\t<c:Role  name='web' ><!-- two --><c:Instances\tcount='2'/></c:Role>\r
\t<c:Role name="jobs">\r
\t\t<c:ConfigurationSettings>\r
\t\t\t<c:Setting value='a&amp;"b' name="Title"></c:Setting>\r
\t\t</c:ConfigurationSettings>\r
\r
\t\t<c:Instances count="1" />\r
\t</c:Role>\r
</c:ServiceConfiguration><!-- end -->"""


def values(place, role="jobs", instances=None, settings=None, only=None):
    return {
        path.name: text
        for path, text in changes.plan_values(place, role, instances, settings or {}, only).contents.items()
    }


@pytest.fixture
def strange(service):
    """The example with a configuration as people write them: UTF-16, prefix, tabs, both quotes."""
    place = service("pair")
    (place / "ServiceConfiguration.Cloud.cscfg").unlink()
    path = place / "ServiceConfiguration.Local.cscfg"
    path.write_bytes(codecs.BOM_UTF16_LE + STRANGE.encode("utf-16-le"))
    return place


@pytest.mark.parametrize(
    ("wanted", "old", "new"),
    [
        ({"role": "web", "instances": 3}, "\tcount='2'", "\tcount='3'"),
        ({"settings": {"Title": "it's <ü>"}}, "'a&amp;\"b'", "'it&apos;s &lt;ü>'"),
        ({"instances": 4, "settings": {"Title": ""}}, None, None),
    ],
)
def test_only_what_is_set_changes(wanted, old, new, strange):
    (content,) = values(strange, **wanted).values()
    text = content.removeprefix(codecs.BOM_UTF16_LE).decode("utf-16-le")
    if old is None:
        assert text == STRANGE.replace("'a&amp;\"b'", "''").replace('count="1"', 'count="4"')
    else:
        assert text == STRANGE.replace(old, new)


def test_a_setting_that_has_no_value_yet_is_added(strange):
    path = strange / "ServiceConfiguration.Local.cscfg"
    setting = '\t\t\t<c:Setting value=\'a&amp;"b\' name="Title"></c:Setting>\r\n'
    path.write_bytes(STRANGE.replace(setting, "").encode())
    (content,) = values(strange, settings={"Title": "x"}).values()
    assert content.decode() == STRANGE.replace(setting, '\t\t\t<c:Setting name="Title" value="x" />\r\n')
    without = STRANGE.replace("\t\t<c:ConfigurationSettings>\r\n" + setting + "\t\t</c:ConfigurationSettings>\r\n", "")
    path.write_bytes(without.encode())
    (content,) = values(strange, settings={"Title": "x"}).values()
    added = [
        "\t\t<c:ConfigurationSettings>",
        '\t\t\t<c:Setting name="Title" value="x" />',
        "\t\t</c:ConfigurationSettings>",
        "\t</c:Role>\r\n</c",
    ]
    assert content.decode() == without.replace("\t</c:Role>\r\n</c", "\r\n".join(added))


def test_every_configuration_that_has_it_is_set(service):
    place = service("pair")
    assert set(values(place, settings={"Title": "x"})) == {path.name for path in folder.configurations(place).values()}
    assert set(values(place, settings={"Title": "x"}, only="Cloud")) == {"ServiceConfiguration.Cloud.cscfg"}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"role": "x", "instances": 1}, "ROLE: there is no role 'x'. Choose from web, jobs."),
        ({"settings": {"Nope": "1"}}, "--setting: role 'jobs' does not declare the setting 'Nope'. Add <Setting"),
        ({"settings": {"Title": "secret\x00"}}, "--setting: the value of 'Title' holds a character that XML cannot"),
        ({"instances": 0}, "Local.cscfg:7: Instances of role 'jobs' has count '0'. Write a whole number"),
        ({"instances": 1, "only": "Test"}, "there is no such configuration. Create it, or choose another"),
    ],
)
def test_what_would_break_a_rule_is_refused(wanted, message, service):
    with pytest.raises(ServiceError) as raised:
        values(service("pair"), **wanted)
    assert message in str(raised.value)
    assert "secret" not in str(raised.value)


def test_more_instances_than_public_ports_are_refused(service):
    with pytest.raises(ServiceError, match="has 4 instances, but endpoint 'Each' has 3 public ports"):
        values(service("rules-worker"), instances=4)


def test_a_fault_that_was_there_does_not_hinder_a_change(service):
    place = service("rules-worker")
    path = place / "ServiceConfiguration.Local.cscfg"
    path.write_text(path.read_text(encoding="utf-8").replace('"Empty"', '"Emtpy"'), encoding="utf-8")
    assert values(place, instances=2)


def test_a_fault_below_a_change_is_no_new_one(service):
    place = service("pair")
    path = place / "ServiceConfiguration.Local.cscfg"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("</S", '<Role name="z"><Instances count="1" /></Role>\n' * 2 + "</S"), encoding="utf-8"
    )
    edited = values(place, settings={"Title": "x"}, role="jobs", only="Local")
    assert edited


def test_a_setting_of_a_module_that_is_not_known_can_be_set(service):
    place = service("rules-imports")
    plan = changes.plan_values(place, "custom", None, {"Some.Plugin.Level": "1"}, None)
    assert b'<Setting name="Some.Plugin.Level" value="1" />' in next(iter(plan.contents.values()))


def test_a_configuration_that_is_a_link_stays_one(service):
    place = service("pair")
    path = place / "ServiceConfiguration.Local.cscfg"
    shared = path.rename(place / "shared.cscfg")
    path.symlink_to(shared.name)
    changes.write(changes.plan_values(place, "web", 5, {}, "Local"))
    assert path.is_symlink()
    assert folder.load(place, "Local").configured["web"].instances == 5


def test_a_removed_role_leaves_everything_else(service):
    place = service("pair")
    before = {path.name: path.read_text(encoding="utf-8") for path in place.glob("Service*")}
    plan = changes.plan_removal(place, "jobs")
    assert {path.name for path in plan.contents} == set(before)
    for path, content in plan.contents.items():
        text = before[path.name]
        start = text.index("  <WorkerRole") if path.name == location.DEFINITION else text.index('  <Role name="jobs"')
        assert content.decode() == text[:start] + text[text.rindex("</Service") :]
    assert not plan.left


def test_every_role_of_the_name_is_removed(service):
    place = service("pair")
    path = place / "ServiceConfiguration.Local.cscfg"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("</S", '  <Role name="jobs"><Instances count="1" /></Role>\n</S'), encoding="utf-8")
    plan = changes.plan_removal(place, "jobs")
    assert b"jobs" not in plan.contents[path]


def test_what_names_a_removed_role_still_is_told(service):
    plan = changes.plan_removal(service("rules-network"), "front")
    assert sorted(fault.rule for fault in plan.left) == ["network-role", "traffic-role"]


def test_the_commands_say_what_they_did(rolepack, service):
    place = service("pair")
    told = rolepack.ok("set", "web", "--instances", "3", cwd=place)
    assert "ServiceConfiguration.Local.cscfg: role web has 3 instances." in told
    told = rolepack.ok("set", "jobs", "--setting", "Title=se=cret", "--configuration", "Cloud", cwd=place)
    assert told == "ServiceConfiguration.Cloud.cscfg: role jobs has setting Title.\n"
    assert folder.load(place, "Cloud").configured["jobs"].settings["Title"] == "se=cret"
    assert folder.load(place, "Cloud").configured["web"].instances == 3
    told = rolepack.ok("remove-role", "web", cwd=place)
    assert "ServiceDefinition.csdef: now without role web." in told
    assert "Its folder roles/web is still there." in told
    assert [role.name for role in folder.load(place, "Local").roles] == ["jobs"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["set", "jobs"], "set: there is nothing to set. Add --instances N or --setting NAME=VALUE."),
        (
            ["set", "jobs", "--instances", "many"],
            "--instances: 'many' is no number. Write a whole number of 1 or more.",
        ),
        (
            ["set", "jobs", "--setting", "Title"],
            "--setting: 'Title' has no value. Write it as NAME=VALUE; Title= is an empty one.",
        ),
        (
            ["set", "jobs", "--setting", "T=a", "--setting", "T=b"],
            "--setting: 'T' is given more than once. Give it one",
        ),
        (["remove-role", "x"], "ROLE: there is no role 'x'. Choose from web, jobs."),
    ],
)
def test_mistakes_change_nothing(words, message, rolepack, service):
    place = service("pair")
    before = {path: path.read_bytes() for path in place.glob("Service*")}
    assert message in rolepack.refused(*words, cwd=place)
    assert {path: path.read_bytes() for path in place.glob("Service*")} == before


def test_help_of_a_command_that_wants_a_role(rolepack, tmp_path):
    for words in (["set", "--help"], ["set", "-h"], ["--help", "set"]):
        assert "Example: invoke set frontend --instances 3" in rolepack.ok(*words, cwd=tmp_path)
