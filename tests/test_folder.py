"""A service's folder: every fault is a folder in services/ and has its own message."""

import pytest
from conftest import ROOT

from cloudservice import folder
from cloudservice.errors import ServiceError

FAULTS = {
    "not-xml": "ServiceDefinition.csdef:2: not well-formed XML",
    "doctype": "ServiceDefinition.csdef:1: a document type declaration is not allowed. Remove the DOCTYPE.",
    "no-root": "ServiceDefinition.csdef:2: the root element is {",
    "no-folder": "ServiceDefinition.csdef:3: role 'jobs' has no folder roles/jobs. Create it",
    "missing-setting": "ServiceConfiguration.Local.cscfg:3: role 'jobs' has no value for setting 'Title'. Add <Setting",
    "undeclared-setting": "cscfg:3: role 'jobs' has a value for setting 'Title', which the definition does not declare",
    "bad-count": "ServiceConfiguration.Local.cscfg:4: role 'jobs' has Instances count 'two'. Write a whole number",
    "missing-role": "ServiceConfiguration.Local.cscfg:2: role 'jobs' of the definition is missing. Add <Role",
    "unknown-role": "ServiceConfiguration.Local.cscfg:6: role 'web' is not in the definition. Remove it here",
    "same-port": "ServiceDefinition.csdef:6: port 10001 of jobs/B is already the port of jobs/A. Give each",
    "same-role": "ServiceDefinition.csdef:10: there is another role 'Jobs' in line 3. Rename one of them.",
    "bad-port": "ServiceDefinition.csdef:4: InputEndpoint 'A' has port '70000'. Write a whole number from 1 to 65535.",
    "no-program": "ServiceDefinition.csdef:3: worker role 'jobs' has no program to run. Add Runtime",
    "unknown-endpoint": "ServiceDefinition.csdef:11: there is no endpoint 'Nope' in role 'web'. Name one",
    "unknown-xpath": "csdef:5: its xpath asks for the endpoint 'Nope', which role 'jobs' does not have. The paths",
    "missing-file": "csdef:6: the command line of role 'jobs' names bin\\ps.cmd, which is not in roles/jobs",
    "other-name": "cscfg:2: serviceName is 'another', but the definition's name is 'other-name'. Make them equal.",
    "bad-store": "csdef:4: 'x/../../precious' cannot be the name of a local store. Use letters",
    "bad-service": "ServiceDefinition.csdef:2: '../../escaped' cannot be the name of a service. Use letters",
    "bad-variable": "csdef:5: no environment variable can have '=' in its name. Remove it",
    "no-site": "csdef:10: Site 'Web' has the physicalDirectory 'public', which is no folder. Create it",
    "wide-site": "csdef:10: Site 'Web' has the physicalDirectory '.', which is not in or beside the service. Put",
    "far-site": "csdef:10: Site 'Web' has the physicalDirectory '..\\..\\..\\..', which is not in or beside",
    "long-number": "csdef:4: InputEndpoint 'A' has port '1111111",
    "two-values": "ServiceDefinition.csdef:5: Variable 'P' needs a value or a RoleInstanceValue. Give it one",
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_its_message(name, service, monkeypatch):
    place = service(name)
    monkeypatch.chdir(place)
    with pytest.raises(ServiceError) as raised:
        folder.check(place)
    assert any(FAULTS[name] in str(fault) for fault in raised.value.faults), str(raised.value)


def test_all_faults_of_all_files_at_once(service, monkeypatch):
    place = service("pair")
    monkeypatch.chdir(place)
    for path in place.glob("*.cscfg"):
        path.write_text(path.read_text(encoding="utf-8").replace('name="Title"', 'name="Titel"'), encoding="utf-8")
    definition = place / folder.DEFINITION
    definition.write_text(definition.read_text(encoding="utf-8").replace('port="81"', 'port="x"'), encoding="utf-8")
    with pytest.raises(ServiceError) as raised:
        folder.check(place)
    files = [str(fault).partition(":")[0] for fault in raised.value.faults]
    assert len(files) == 5
    assert set(files) == {folder.DEFINITION, "ServiceConfiguration.Local.cscfg", "ServiceConfiguration.Cloud.cscfg"}


def test_a_service_is_the_definition_joined_with_one_configuration(service):
    loaded = folder.load(service("pair"), "Local")
    assert (loaded.name, loaded.configuration, loaded.update_domains) == ("pair", "Local", 2)
    assert {name: role.instances for name, role in loaded.configured.items()} == {"web": 2, "jobs": 1}
    assert loaded.configured["jobs"].settings == {"Title": "Größe"}
    jobs = loaded.role("jobs")
    assert [(task.task_type, task.command_line) for task in jobs.tasks] == [
        ("simple", "python setup.py"),
        ("background", "unknown.exe /quiet"),
    ]
    assert [(store.size_in_mb, store.clean_on_role_recycle) for store in jobs.local_storage] == [
        (10, True),
        (100, False),
    ]
    assert loaded.role("web").sites[0].endpoints == ("Endpoint1",)


def test_the_sample_service_has_no_fault():
    assert [one.configuration for one in folder.check(ROOT)] == ["Cloud", "Local"]


def test_the_nearest_folder_upwards_is_found(service):
    place = service("pair")
    assert folder.find(place / "roles" / "web" / "lib") == place.resolve()


def test_plugin_settings_need_no_declaration(service):
    place = service("undeclared-setting")
    path = folder.configuration_file(place, "Local")
    path.write_text(path.read_text().replace('"Title"', '"Microsoft.WindowsAzure.Plugins.Diagnostics.X"'))
    assert folder.load(place, "Local").name == "undeclared-setting"


def test_an_unknown_configuration_names_those_that_exist(service):
    with pytest.raises(ServiceError, match=r"choose another with --configuration \(there: Cloud, Local\)"):
        folder.load(service("pair"), "Test")
