"""A service's folder: found, read, and checked as a whole; the rules have their own tests."""

from datetime import date

import pytest
from conftest import ROOT

from cloudservice import folder, location
from cloudservice.errors import ServiceError

TODAY = date(2026, 11, 21)


def test_all_faults_of_all_files_at_once(service, monkeypatch):
    place = service("pair")
    monkeypatch.chdir(place)
    for path in place.glob("*.cscfg"):
        path.write_text(path.read_text(encoding="utf-8").replace('name="Title"', 'name="Titel"'), encoding="utf-8")
    definition = place / location.DEFINITION
    definition.write_text(definition.read_text(encoding="utf-8").replace('port="81"', 'port="x"'), encoding="utf-8")
    files = [str(fault).partition(":")[0] for fault in folder.check(place, TODAY).errors]
    assert len(files) == 3
    assert set(files) == {location.DEFINITION, "ServiceConfiguration.Local.cscfg", "ServiceConfiguration.Cloud.cscfg"}
    with pytest.raises(ServiceError) as raised:
        folder.load(place, "Local")
    assert len(raised.value.faults) == 2


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
    done = folder.check(ROOT, TODAY)
    assert not done.errors
    assert [fault.rule for fault in done.warnings] == ["retired-platform"]
    assert [one.configuration for one in done.services] == ["Cloud", "Local"]


def test_the_nearest_folder_upwards_is_found(service):
    place = service("pair")
    assert location.find(place / "roles" / "web" / "lib") == place.resolve()


def test_an_unknown_configuration_names_those_that_exist(service):
    with pytest.raises(ServiceError, match=r"choose another with --configuration \(there: Cloud, Local\)"):
        folder.load(service("pair"), "Test")


def test_a_configuration_is_named_in_any_case(service):
    assert folder.load(service("pair"), "lOCAL").configuration == "Local"
