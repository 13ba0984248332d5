"""Scaffolding: whole, once, never over a file; what it makes has no fault."""

from datetime import date
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, add_role

from cloudservice import definition, folder, location
from cloudservice.errors import ServiceError
from packager import blueprint
from packager.scaffold import Templates


def below(place: Path) -> set[str]:
    return {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}


def test_a_new_service_with_two_roles_has_no_fault(shop):
    local = folder.load(shop, "Local")
    assert [(role.name, role.kind) for role in local.roles] == [("web", "web"), ("jobs", "worker")]
    assert local.role("jobs").entry_point == r"bin\ps.cmd LaunchWorker.ps1 worker.py"
    assert [one.configuration for one in folder.check(shop, date(2026, 11, 21)).services] == ["Cloud", "Local"]


def test_each_kind_has_its_support_files(shop):
    support = {
        f"bin/{name}" for name in ("ps.cmd", "ConfigureCloudService.ps1", "ConfigureCloudService.py", "readme.html")
    }
    own = {"requirements.txt", "role.py"}
    page = {"app.py", "test_app.py", "web.config", "static/site.css", "templates/home.html"}
    assert below(shop / "roles/web") == support | own | page
    launch = {"bin/LaunchWorker.ps1", "bin/LaunchWorker.py"}
    assert below(shop / "roles/jobs") == support | own | launch | {"worker.py", "test_worker.py"}


def test_batch_files_and_scripts_have_windows_line_ends_and_no_mark(shop):
    for path in [*shop.rglob("*.cmd"), *shop.rglob("*.ps1")]:
        content = path.read_bytes()
        assert content.isascii()
        assert content.count(b"\n") == content.count(b"\r\n") > 3


def test_public_ports_do_not_clash(shop):
    add_role(shop, "admin", "web")
    ports = [role.endpoints[0].port for role in folder.load(shop, "Local").roles if role.kind == "web"]
    assert ports == [80, 81]


@pytest.mark.parametrize("name", ["a b", "-x", "x.", "", "../x", "a/b", "ä", "con", "LPT1.x", "a" * 101])
def test_names_that_cannot_be_are_refused_and_nothing_is_written(shop, name):
    before = below(shop)
    with pytest.raises(ServiceError, match="cannot be the name of the role"):
        add_role(shop, name, "web")
    assert below(shop) == before


def test_nothing_is_written_over_a_file(shop):
    (shop / "roles" / "mail").mkdir()
    (shop / "roles" / "mail" / "worker.py").write_text("mine")
    definition = (shop / location.DEFINITION).read_bytes()
    with pytest.raises(ServiceError, match=r"mail/worker.py: it exists already"):
        add_role(shop, "mail", "worker")
    assert below(shop / "roles" / "mail") == {"worker.py"}
    assert (shop / location.DEFINITION).read_bytes() == definition
    with pytest.raises(ServiceError, match="there is a role 'jobs' already"):
        add_role(shop, "JOBS", "worker")


def test_comments_of_the_definition_stay(shop):
    path = shop / location.DEFINITION
    path.write_bytes(path.read_bytes().replace(b"  <WebRole", b"  <!-- kept -->\r\n  <WebRole"))
    before = path.read_bytes()
    add_role(shop, "mail", "worker")
    head, tail = before.split(b"</ServiceDefinition>")
    after = path.read_bytes()
    assert after.startswith(head)
    assert after.endswith(b"</ServiceDefinition>" + tail)


def test_a_definition_with_a_prefix_gets_the_role_in_its_namespace(shop):
    path = shop / location.DEFINITION
    text = path.read_text()
    text = text.replace("<ServiceDefinition", "<s:ServiceDefinition").replace(
        "</ServiceDefinition", "</s:ServiceDefinition"
    )
    text = text.replace(" xmlns=", " xmlns:s=")
    for name in ("WebRole", "WorkerRole", "LoadBalancerProbes"):
        text = text.replace(f"<{name}", f'<{name} xmlns="{definition.NAMESPACE}"')
    path.write_text(text)
    add_role(shop, "mail", "worker")
    assert [role.name for role in folder.load(shop, "Local").roles] == ["web", "jobs", "mail"]


def test_a_configuration_that_is_not_xml_stops_a_new_role_before_anything_is_written(shop):
    path = folder.configuration_file(shop, "Cloud")
    path.write_text("<half")
    before = below(shop), (shop / location.DEFINITION).read_bytes()
    with pytest.raises(ServiceError, match=r"Cloud.cscfg:1: a tag is not closed"):
        add_role(shop, "mail", "worker")
    assert (below(shop), (shop / location.DEFINITION).read_bytes()) == before


def test_a_web_role_gets_a_port_that_nothing_takes(shop):
    path = shop / location.DEFINITION
    ports = '<AllocatePublicPortFrom><FixedPortRange min="81" max="90" /></AllocatePublicPortFrom>'
    endpoint = f'<InstanceInputEndpoint name="e" protocol="tcp" localPort="1">{ports}</InstanceInputEndpoint>'
    path.write_text(path.read_text().replace("</WorkerRole>", f"<Endpoints>{endpoint}</Endpoints></WorkerRole>"))
    add_role(shop, "shop", "web")
    (added,) = [role for role in folder.load(shop, "Local").roles if role.name == "shop"]
    assert added.endpoints[0].port == 91


def test_a_role_that_is_configured_and_not_defined_is_not_made_again(shop):
    path = folder.configuration_file(shop, "Cloud")
    path.write_text(path.read_text().replace("</S", '  <Role name="Mail"><Instances count="3" /></Role>\n</S'))
    before = below(shop)
    with pytest.raises(ServiceError, match=r"Cloud.cscfg:\d+: it configures a role 'Mail' already. Remove it there"):
        add_role(shop, "mail", "worker")
    assert below(shop) == before


def test_a_role_is_not_made_through_a_link_out_of_the_service(shop, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (shop / "roles" / "more").symlink_to(elsewhere)
    with pytest.raises(ServiceError, match="roles/more: it is a link to a place that is not in or beside the service"):
        add_role(shop, "more", "worker")
    assert not list(elsewhere.iterdir())


def test_a_role_that_would_break_a_rule_is_not_made(shop):
    path = shop / location.DEFINITION
    endpoints = "".join(f'<InputEndpoint name="e{n}" protocol="tcp" port="{1000 + n}" />' for n in range(24))
    path.write_text(path.read_text().replace("</WorkerRole>", f"<Endpoints>{endpoints}</Endpoints></WorkerRole>"))
    before = below(shop)
    with pytest.raises(ServiceError, match="the service has 26 endpoints"):
        add_role(shop, "more", "web")
    assert below(shop) == before


def test_every_configuration_gets_the_role_whatever_its_name(shop):
    west = shop / "ServiceConfiguration.Cloud.West.cscfg"
    west.write_bytes(folder.configuration_file(shop, "Cloud").read_bytes())
    add_role(shop, "mail", "worker")
    assert [one.configuration for one in folder.check(shop, date(2026, 11, 21)).services] == [
        "Cloud",
        "Cloud.West",
        "Local",
    ]


@pytest.mark.parametrize(("role", "kind"), [("frontend", "web"), ("renderer", "worker")])
def test_the_sample_service_has_the_support_files_of_the_templates(role, kind):
    rendered = Templates().render(["support/both", f"support/{kind}"], blueprint.values(role, kind))
    support = [file for file in rendered if file.path.parts[0] == "bin"]
    assert len(support) == (4 if kind == "web" else 6)
    for file in support:
        assert (ROOT / "roles" / role / file.path).read_bytes() == file.content


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["mail.", "--kind", "worker"], ["NAME: 'mail.' cannot be the name of the role. Use up to 100"]),
        (["nul", "--kind", "worker"], ["NAME: 'nul' cannot be the name of the role."]),
        (
            ["Jobs", "--kind", "worker"],
            ["ServiceDefinition.csdef: there is a role 'jobs' already. Choose another name."],
        ),
        (["left", "--kind", "worker"], ["roles/left: on Windows it is the same folder as roles/Left. Choose another"]),
        (
            ["x", "--kind", "web", "--framework", "rails"],
            ["--framework: 'rails' is not known. Choose from"],
        ),
        (["x", "--kind", "worker", "--framework", "flask"], ["--framework: a worker role has none. Leave it out, or"]),
        (
            ["x", "--kind", "worker", "--port", "80"],
            ["--port: a worker role has no public port."],
        ),
        (
            ["x", "--kind", "web", "--port", "80"],
            ["--port: port 80 of x/Endpoint1 is already taken by web/Endpoint1."],
        ),
        (
            ["x", "--kind", "web", "--port", "70000"],
            ["--port: '70000' is no port."],
        ),
        (
            ["x", "--kind", "web", "--instances", "0"],
            ["--instances: '0' is no whole number from 1 to 1000."],
        ),
        (["x", "--kind", "web", "--instances", "two"], ["--instances: 'two' is no whole number from 1 to 1000."]),
        (
            ["x", "--kind", "web", "--vmsize", "Huge"],
            ["--vmsize: 'Huge' is no size that is known. Write Standard_"],
        ),
        (
            ["con", "--kind", "api", "--instances", "0", "--port", "x", "--framework", "y", "--vmsize", "z"],
            ["--kind: 'api'", "--framework: 'y'", "--instances: '0'", "--port: 'x'", "NAME: 'con'", "--vmsize: 'z'"],
        ),
    ],
)
def test_a_role_that_cannot_be_is_told_and_nothing_is_written(shop, rolepack, words, told):
    (shop / "roles" / "Left").mkdir()
    before = {path: path.read_bytes() for path in shop.rglob("*") if path.is_file()}
    lines = rolepack.refused("new-role", *words, cwd=shop).splitlines()
    assert len(lines) == len(told)
    for line, beginning in zip(lines, told, strict=True):
        assert line.startswith(beginning)
    assert {path: path.read_bytes() for path in shop.rglob("*") if path.is_file()} == before
    assert not (shop / "roles" / "x").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["con"], "NAME: 'con' cannot be the name of the service."),
        (["a b"], "NAME: 'a b' cannot be the name of the service."),
        (["x" * 101], "cannot be the name of the service."),
        (["new", "--web", "a", "--worker", "b/c"], "--worker: 'b/c' cannot be the name of the role."),
        (["new", "--web", "one", "--worker", "ONE"], "new/ServiceDefinition.csdef: there is a role 'one' already."),
        (["old"], "old: there is a service in it already. Choose another folder, or add roles to it"),
        (["file"], "file"),
    ],
)
def test_a_service_that_cannot_be_is_told_and_nothing_is_written(tmp_path, rolepack, words, told):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / location.DEFINITION).write_text("mine")
    (tmp_path / "file").write_text("mine too")
    before = sorted(tmp_path.rglob("*"))
    said = rolepack.refused("new-service", *words, cwd=tmp_path)
    assert told in said
    assert len(said.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_new_service_with_roles_is_one_folder_and_passes_every_check(tmp_path, rolepack):
    words = ("--web", "site", "--worker", "orders", "--web", "admin", "--worker", "mail")
    said = rolepack.ok("new-service", "shop", *words, cwd=tmp_path)
    assert "Made service 'shop' with site, admin, orders and mail in shop/ (" in said
    assert said.endswith("Next: cd shop; rolepack emulate\n")
    done = folder.check(tmp_path / "shop", date(2026, 11, 21))
    assert not done.errors
    assert [role.name for role in done.services[0].roles] == ["site", "admin", "orders", "mail"]
    assert [role.endpoints[0].port for role in done.services[0].roles[:2]] == [80, 81]
    assert [probe.name for probe in done.services[0].probes] == ["site-health", "admin-health"]
    assert below(tmp_path / "shop") >= {
        *(
            "README.md",
            "invoke.yaml",
            "tasks.py",
            ".gitignore",
            ".rolepackignore",
            "azure-pipelines.yml",
            ".github/workflows/service.yml",
        ),
        *("ServiceConfiguration.Local.cscfg", "ServiceConfiguration.Cloud.cscfg", "roles/mail/worker.py"),
    }
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]


def test_a_new_service_may_go_into_a_folder_that_is_there(tmp_path, rolepack):
    (tmp_path / ".git").mkdir()
    (tmp_path / "LICENSE").write_text("mine")
    rolepack.ok("new-service", "shop", "--worker", "jobs", "--service", ".", cwd=tmp_path)
    assert below(tmp_path) >= {"LICENSE", "tasks.py", "roles/jobs/worker.py"}


def test_a_role_is_what_its_options_say(shop, rolepack):
    words = ("--framework", "bottle", "--instances", "3", "--port", "9000", "--vmsize", "Standard_D2_v3")
    said = rolepack.ok("new-role", "site", "--kind", "web", *words, cwd=shop)
    loaded = folder.load(shop, "Cloud")
    role = loaded.role("site")
    assert (role.vmsize, role.endpoints[0].port, loaded.configured["site"].instances) == ("Standard_D2_v3", 9000, 3)
    assert role.endpoints[0].probe == "site-health"
    assert [probe.path for probe in loaded.probes] == ["/health", "/health"]
    assert "Made web role 'site' in roles/site/, for port 9000." in said
    assert [line.strip()[:8] for line in said.splitlines()[-3:]] == ["Next: 1.", "2. rolep", "3. rolep"]


def test_removing_a_role_takes_back_what_adding_it_wrote(shop, rolepack):
    files = [shop / location.DEFINITION, *shop.glob("*.cscfg")]
    before = [path.read_bytes() for path in files]
    for framework in ("django", "wsgi"):
        add_role(shop, "more", "web", framework)
        assert "now without role more and probe more-health." in rolepack.ok("remove-role", "more", cwd=shop)
        assert [path.read_bytes() for path in files] == before
        (shop / "roles/more").rename(shop / f"old-{framework}")
    for name in ("web", "jobs"):
        rolepack.ok("remove-role", name, cwd=shop)
    assert "LoadBalancerProbes" not in files[0].read_text()


def test_a_probe_that_another_role_uses_stays(shop, rolepack):
    add_role(shop, "more", "web")
    path = shop / location.DEFINITION
    path.write_text(path.read_text().replace('loadBalancerProbe="more-health"', 'loadBalancerProbe="web-health"'))
    rolepack.ok("remove-role", "web", cwd=shop)
    assert [probe.name for probe in folder.load(shop, "Local").probes] == ["web-health", "more-health"]


def test_a_configuration_that_the_emulator_takes_lets_django_start(tmp_path):
    blueprint.write(blueprint.plan_service(tmp_path, "shop", [], Templates()))
    (tmp_path / "ServiceConfiguration.Local.cscfg").rename(tmp_path / "ServiceConfiguration.local.cscfg")
    add_role(tmp_path, "site", "web", "django")
    assert folder.load(tmp_path, "Local").configured["site"].settings["DEBUG"] == "1"
    assert folder.load(tmp_path, "Cloud").configured["site"].settings["DEBUG"] == "0"


def test_when_every_port_is_taken_that_is_said(shop):
    path = shop / location.DEFINITION
    ports = '<AllocatePublicPortFrom><FixedPortRange min="80" max="65535" /></AllocatePublicPortFrom>'
    endpoint = f'<InstanceInputEndpoint name="e" protocol="tcp" localPort="1">{ports}</InstanceInputEndpoint>'
    path.write_text(path.read_text().replace("</WorkerRole>", f"<Endpoints>{endpoint}</Endpoints></WorkerRole>"))
    with pytest.raises(ServiceError, match="--port: every public port is taken"):
        add_role(shop, "more", "web")


def test_a_probe_gets_a_name_that_is_free(shop):
    path = shop / location.DEFINITION
    path.write_text(path.read_text().replace('"web-health"', '"more-health"'))
    add_role(shop, "more", "web")
    assert [probe.name for probe in folder.load(shop, "Local").probes] == ["more-health", "more-health-2"]


def test_a_folder_of_roles_in_another_case_is_that_folder(shop):
    (shop / "roles").rename(shop / "Roles")
    add_role(shop, "mail", "worker")
    assert (shop / "Roles" / "mail" / "worker.py").is_file()
    assert not (shop / "roles").exists()


def test_a_link_in_the_folder_of_a_new_role_is_not_followed(shop, tmp_path_factory):
    far = tmp_path_factory.mktemp("far")
    (shop / "roles" / "mail").mkdir()
    (shop / "roles" / "mail" / "bin").symlink_to(far)
    with pytest.raises(ServiceError, match=r"mail/bin/ps.cmd: a link in its path leads elsewhere"):
        add_role(shop, "mail", "worker")
    assert not list(far.iterdir())


def test_every_mistake_in_a_new_service_is_told_at_once(tmp_path, rolepack):
    words = ("a b", "--web", "con", "--worker", "x y")
    lines = rolepack.refused("new-service", *words, cwd=tmp_path).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["NAME", "--web", "--worker"]


def test_names_that_yaml_takes_for_something_else_stay_names(tmp_path, rolepack):
    rolepack.ok("new-service", "null", cwd=tmp_path)
    found = yaml.safe_load((tmp_path / "null/azure-pipelines.yml").read_text())
    assert found["steps"][-1]["artifact"] == "null"
