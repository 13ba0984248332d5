"""A definition and a configuration are read element by element into values."""

from lxml import etree

from cloudservice import folder, location
from cloudservice.service import (
    AccessRule,
    Assembly,
    Binding,
    Certificate,
    Content,
    Endpoint,
    EndpointAcl,
    LoadBalancer,
    LocalStorage,
    PortRange,
    Probe,
    TrafficRule,
    Virtual,
)


def test_a_web_role(service):
    loaded = folder.load(service("rules-web"), "Local")
    web = loaded.role("web")
    assert (web.kind, web.vmsize, web.enable_native_code_execution) == ("web", "Standard_D2_v3", True)
    assert loaded.topology_change_discovery == "UpgradeDomainWalk"
    assert loaded.probes == (
        Probe("Alive", "http", "/alive", None, 5, 11),
        Probe("Open", "tcp", None, 8081, 15, 31),
    )
    first, second = web.sites
    assert first.physical_directory is None
    assert first.bindings == (Binding("Http", "Http", ""), Binding("Https", "Https", ""))
    assert first.below == (
        Virtual("shop", True, "roles\\Shop", (Virtual("static", False, "roles\\shop\\static", ()),)),
        Virtual("shared", False, "shared", ()),
    )
    assert (second.physical_directory, second.endpoints) == ("roles\\shop", ("Http", "Inner"))
    assert web.endpoints == (
        Endpoint("Http", "input", "http", 80, 80, probe="Alive"),
        Endpoint("Https", "input", "https", 443, 8443, certificate="Tls"),
        Endpoint("Inner", "internal", "http"),
    )
    assert web.certificates == (
        Certificate("Tls", "LocalMachine", "My", "elevated"),
        Certificate("Own", "CurrentUser", "Partners", "limitedOrElevated"),
    )
    configured = loaded.configured["web"]
    assert (configured.instances, configured.vm_name) == (2, "web")
    assert configured.thumbprints["Own"] == "89ABCDEF0123456789ABCDEF0123456789ABCDEF"
    assert (loaded.os_family, loaded.os_version) == ("7", "*")


def test_sites_are_found_in_whatever_case_they_are_written(service):
    place = service("rules-web")
    loaded = folder.load(place, "Local")
    sites = folder.site_folders(place, loaded.role("web"), loaded.sources["web"])
    assert sites == {"Web": place / "roles" / "web", "Shop": place.resolve() / "roles" / "shop"}


def test_a_worker_role(service):
    loaded = folder.load(service("rules-worker"), "Local")
    jobs = loaded.role("jobs")
    assert loaded.update_domains == 3
    assert (jobs.kind, jobs.vmsize, jobs.execution_context, jobs.startup_priority) == ("worker", "Small", "elevated", 1)
    assert jobs.entry_point == "bin\\ps.cmd LaunchWorker.ps1 worker.py"
    assert [(task.task_type, task.execution_context) for task in jobs.tasks] == [
        ("simple", "elevated"),
        ("foreground", "limited"),
        ("background", "limited"),
    ]
    assert jobs.tasks[0].command_line == "bin\\ps.cmd ConfigureCloudService.ps1 > log.txt"
    assert [(each.name, each.value) for each in jobs.tasks[2].environment] == [("STEP", "")]
    assert [each.name for each in jobs.environment] == ["COLOUR", "TITLE", "CACHE", "PORT"]
    assert jobs.endpoints == (
        Endpoint("Dns", "input", "udp", 53, None, ignore_role_instance_status=True),
        Endpoint("DnsTcp", "input", "tcp", 53, 53, idle_timeout_in_minutes=10, distribution="sourceIP"),
        Endpoint("Any", "internal", "any", ports=(PortRange(9000, 9010),)),
        Endpoint("Fixed", "internal", "tcp", 9100, ports=(PortRange(9100, 9100),)),
        Endpoint("Plain", "internal", "udp", 9200),
        Endpoint("Each", "instance-input", "tcp", None, 9300, (PortRange(10100, 10102),)),
    )
    assert jobs.local_storage == (LocalStorage("Cache", 10, False), LocalStorage("DiagnosticStore", 8192, False))
    assert jobs.contents == (Content("Data", ".\\data"), Content("%ProgramFiles%\\tools", "tools"))
    assert loaded.configured["jobs"].settings == {"Title": "Größe < 3", "Empty": ""}


def test_a_network(service):
    loaded = folder.load(service("rules-network"), "Cloud")
    assert loaded.traffic_rules == (
        TrafficRule((("back", "Orders"),), ("front",)),
        TrafficRule((("back", "Stock"),), None),
    )
    network = loaded.network
    assert network.access_controls == {
        "office": (AccessRule(100, "permit", "192.0.2.1/24", "the office"), AccessRule(200, "deny", "0.0.0.0/0", ""))
    }
    assert network.endpoint_acls == (EndpointAcl("back", "Public", "office"),)
    assert network.dns_servers == {"inner": "10.0.0.4"}
    assert network.virtual_network == "Group shop network"
    assert network.subnets == {"front": ("front",), "back": ("back",)}
    assert network.public_ips == {"front": ("each",), "back": ()}
    assert network.reserved_ips == ("shop",)
    assert network.load_balancers == (LoadBalancer("inside", "front", "10.0.0.10"),)
    assert loaded.role("front").endpoints[0].load_balancer == "inside"


def test_the_forms_of_the_first_sdks(service):
    place = service("rules-legacy")
    assert list(folder.configurations(place)) == [folder.UNNAMED]
    assert folder.usual_configuration(place, "Cloud") == folder.UNNAMED
    loaded = folder.load(place, folder.UNNAMED)
    web, jobs = loaded.roles
    assert web.endpoints == (Endpoint("HttpIn", "input", "http", 80, 80), Endpoint("Inner", "internal", "http"))
    assert web.local_storage == (LocalStorage("Scratch", 5, True),)
    assert jobs.endpoints == (Endpoint("Inner", "internal", "tcp"),)
    assert jobs.local_storage == (LocalStorage("Scratch", 100, True),)


def test_roles_in_other_languages(service):
    loaded = folder.load(service("rules-languages"), "Local")
    assert {name: source.language for name, source in loaded.sources.items()} == {
        "node": "Node.js",
        "tool": "",
        "calc": "Python",
        "net": ".NET",
        "api": ".NET",
        "page": "PHP",
    }
    assert loaded.role("net").assembly == Assembly("Net.dll", "v4.0")


def test_a_project_of_visual_studio_says_where_roles_are(service):
    place = service("rules-studio") / "Cloud"
    sources = folder.load(place, "Local").sources
    assert sources["ParserRole"].folder == place.parent / "ParserRole1"
    assert sources["Site"].folder == place.parent / "Site", "written in another case in the .ccproj"
    assert sources["Site"].language == ".NET"


def test_a_role_may_lie_beside_the_definition(service):
    place = service("rules-worker")
    (place / "roles" / "jobs").rename(place / "Jobs")
    assert folder.load(place, "Local").sources["jobs"].folder == place / "Jobs"


def test_children_stand_in_any_order_and_comments_anywhere(service):
    place = service("rules-network")
    before = folder.load(place, "Cloud")
    path = location.definition_file(place)
    tree = etree.parse(path)
    for element in list(tree.iter(etree.Element)):
        element[:] = [*reversed(element), etree.Comment("here")]
    tree.write(path)
    after = folder.load(place, "Cloud")
    assert {role.name: role.kind for role in after.roles} == {role.name: role.kind for role in before.roles}
    assert set(after.traffic_rules) == set(before.traffic_rules)
    assert set(after.role("back").endpoints) == set(before.role("back").endpoints)
