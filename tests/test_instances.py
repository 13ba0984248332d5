"""From a service to instances and role environment documents."""

from cloudservice import folder, xpath
from cloudservice.instances import Address, Deployment, LocalResource, instances, role_environment
from cloudservice.names import similar
from cloudservice.plain import from_plain, to_plain
from cloudservice.service import RoleConfiguration, Service


def deployed(loaded):
    there = instances(loaded, ["web", "jobs"])
    endpoints = {one.name: {"E": Address("tcp", "127.0.0.1", 1000 + number)} for number, one in enumerate(there)}
    stores = {one.name: {"Cache": LocalResource(f"/stores/{one.name}", 10)} for one in there}
    return Deployment("d1", True, there, endpoints, stores)


def test_domains_go_round_by_number(service):
    loaded = folder.load(service("pair"), "Cloud")
    three = loaded._replace(update_domains=3)
    assert [(one.name, one.update_domain, one.fault_domain) for one in instances(three, ["web"])] == [
        ("web_IN_0", 0, 0),
        ("web_IN_1", 1, 1),
        ("web_IN_2", 2, 0),
        ("web_IN_3", 0, 1),
    ]


def test_fourteen_instances_spread_evenly_over_five_domains(service):
    loaded = folder.load(service("pair"), "Local")
    many = loaded._replace(update_domains=5, configured={**loaded.configured, "web": RoleConfiguration(14, {})})
    domains = [one.update_domain for one in instances(many, ["web"])]
    assert [domains.count(domain) for domain in range(5)] == [3, 3, 3, 3, 2]


def test_the_document_has_the_keys_that_roles_read(service):
    loaded = folder.load(service("pair"), "Local")
    deployment = deployed(loaded)
    assert role_environment(loaded, deployment, deployment.instances[2]) == {
        "deployment": {"id": "d1", "emulated": True},
        "current": {
            "id": "jobs_IN_0",
            "role": "jobs",
            "update_domain": 0,
            "fault_domain": 0,
            "settings": {"Title": "Größe"},
            "local_resources": {"Cache": {"path": "/stores/jobs_IN_0", "size_in_mb": 10}},
            "endpoints": {"E": {"protocol": "tcp", "address": "127.0.0.1", "port": 1002}},
        },
        "roles": {
            "web": {
                "instances": [
                    {
                        "id": f"web_IN_{number}",
                        "update_domain": number,
                        "fault_domain": number,
                        "endpoints": {"E": {"protocol": "tcp", "address": "127.0.0.1", "port": 1000 + number}},
                    }
                    for number in (0, 1)
                ]
            },
            "jobs": {
                "instances": [
                    {
                        "id": "jobs_IN_0",
                        "update_domain": 0,
                        "fault_domain": 0,
                        "endpoints": {"E": {"protocol": "tcp", "address": "127.0.0.1", "port": 1002}},
                    }
                ]
            },
        },
    }


def test_xpaths_outside_the_documented_set_are_told(service):
    names = xpath.names_of(folder.load(service("pair"), "Local").role("jobs"))
    base = "/RoleEnvironment/CurrentInstance"
    assert "none of the paths there are" in str(xpath.missing(f"{base}/@nope", names, similar))
    assert "none of the paths there are" in str(
        xpath.missing(f"{base}/Endpoints/Endpoint[@name='Echo']/@nope", names, similar)
    )
    setting = f"{base}/ConfigurationSettings/ConfigurationSetting[@name='x']/@value"
    assert "the setting 'x'" in str(xpath.missing(setting, names, similar))
    assert xpath.missing(f'{base}/LocalResources/LocalResource[@name="DiagnosticStore"]/@path', names, similar) is None


def test_a_service_survives_the_way_through_json(service):
    loaded = folder.load(service("pair"), "Local")
    assert from_plain(Service, to_plain(loaded)) == loaded
