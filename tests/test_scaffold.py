"""Scaffolding: whole, once, never over a file; what it makes has no fault."""

import ast
import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from conftest import ROOT

from cloudservice import definition, folder
from cloudservice.errors import ServiceError
from packager import scaffold


@pytest.fixture
def shop(tmp_path):
    scaffold.new_service(tmp_path / "shop", "shop")
    scaffold.new_role(tmp_path / "shop", "web", "web", "3.12.10")
    scaffold.new_role(tmp_path / "shop", "jobs", "worker", "3.12.10")
    return tmp_path / "shop"


def below(place: Path) -> set[str]:
    return {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}


def test_a_new_service_with_two_roles_has_no_fault(shop):
    local = folder.load(shop, "Local")
    assert [(role.name, role.kind) for role in local.roles] == [("web", "web"), ("jobs", "worker")]
    assert local.role("jobs").entry_point == r"bin\ps.cmd LaunchWorker.ps1 worker.py"
    assert [one.configuration for one in folder.check(shop, date(2026, 11, 21)).services] == ["Cloud", "Local"]


def test_each_kind_has_its_support_files(shop):
    support = {"bin/ps.cmd", "bin/ConfigureCloudService.ps1", "bin/ConfigureCloudService.py", "requirements.txt"}
    assert below(shop / "roles/web") == support | {"web.config", "app.py"}
    assert below(shop / "roles/jobs") == support | {"bin/LaunchWorker.ps1", "bin/LaunchWorker.py", "worker.py"}


def test_batch_files_and_scripts_have_windows_line_ends_and_no_mark(shop):
    for path in [*shop.rglob("*.cmd"), *shop.rglob("*.ps1")]:
        content = path.read_bytes()
        assert content.isascii()
        assert content.count(b"\n") == content.count(b"\r\n") > 3


def test_python_files_are_python_and_no_placeholder_is_left(shop):
    for path in shop.rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert "{{" not in text
            assert "{%" not in text
            if path.suffix == ".py":
                ast.parse(text)


def test_public_ports_do_not_clash(shop):
    scaffold.new_role(shop, "admin", "web", "3.12.10")
    ports = [role.endpoints[0].port for role in folder.load(shop, "Local").roles if role.kind == "web"]
    assert ports == [80, 81]


@pytest.mark.parametrize("name", ["a b", "-x", "x.", "", "../x", "a/b", "ä", "con", "LPT1.x", "a" * 101])
def test_names_that_cannot_be_are_refused_and_nothing_is_written(shop, name):
    before = below(shop)
    with pytest.raises(ServiceError, match="cannot be the name of the role"):
        scaffold.new_role(shop, name, "web", "3.12.10")
    assert below(shop) == before


def test_nothing_is_written_over_a_file(shop):
    (shop / "roles" / "mail").mkdir()
    (shop / "roles" / "mail" / "worker.py").write_text("mine")
    definition = (shop / folder.DEFINITION).read_bytes()
    with pytest.raises(ServiceError, match=r"mail/worker.py: it exists already"):
        scaffold.new_role(shop, "mail", "worker", "3.12.10")
    assert below(shop / "roles" / "mail") == {"worker.py"}
    assert (shop / folder.DEFINITION).read_bytes() == definition
    with pytest.raises(ServiceError, match="there is a role 'jobs' already"):
        scaffold.new_role(shop, "JOBS", "worker", "3.12.10")


def test_comments_of_the_definition_stay(shop):
    path = shop / folder.DEFINITION
    path.write_bytes(path.read_bytes().replace(b"  <WebRole", b"  <!-- kept -->\r\n  <WebRole"))
    before = path.read_bytes()
    scaffold.new_role(shop, "mail", "worker", "3.12.10")
    head, tail = before.split(b"</ServiceDefinition>")
    after = path.read_bytes()
    assert after.startswith(head)
    assert after.endswith(b"</ServiceDefinition>" + tail)


def test_launch_worker_passes_arguments_and_exit_code(shop):
    (shop / "roles/jobs/show.py").write_text(
        "import json, os, sys\nprint(json.dumps([sys.argv[1:], os.getcwd()]))\nsys.exit(9)\n"
    )
    script = shop / "roles/jobs/bin/LaunchWorker.py"
    done = subprocess.run([sys.executable, script, "show.py", "two words", ""], capture_output=True, check=False)
    assert done.returncode == 9
    assert json.loads(done.stdout) == [["two words", ""], str(shop / "roles/jobs")]


def test_configure_installs_the_locked_wheels_offline_and_fails_when_one_is_missing(shop, tmp_path):
    from conftest import make_wheel

    from packager import store

    role = shop / "roles/jobs"
    wheel = make_wheel(role / "wheelhouse", "tool", "1.0")
    (role / "requirements.lock").write_text(f"tool==1.0 --hash=sha256:{store.hash_of(wheel)}\n")
    script = role / "bin/ConfigureCloudService.py"
    environ = {**os.environ, "EMULATED": "false", "RoleName": "jobs", "PIP_CONFIG_FILE": os.devnull}
    for _ in range(2):
        done = subprocess.run([sys.executable, script], env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert list((role / "env").rglob("tool.py"))
    wheel.unlink()
    subprocess.run(["rm", "-r", role / "env"], check=True)
    done = subprocess.run([sys.executable, script], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "tool==1.0" in done.stdout + done.stderr


def test_a_definition_with_a_prefix_gets_the_role_in_its_namespace(shop):
    path = shop / folder.DEFINITION
    text = path.read_text()
    text = text.replace("<ServiceDefinition", "<s:ServiceDefinition").replace(
        "</ServiceDefinition", "</s:ServiceDefinition"
    )
    text = text.replace(" xmlns=", " xmlns:s=").replace("<WebRole", f'<WebRole xmlns="{definition.NAMESPACE}"')
    path.write_text(text.replace("<WorkerRole", f'<WorkerRole xmlns="{definition.NAMESPACE}"'))
    scaffold.new_role(shop, "mail", "worker", "3.12.10")
    assert [role.name for role in folder.load(shop, "Local").roles] == ["web", "jobs", "mail"]


def test_a_configuration_that_is_not_xml_stops_a_new_role_before_anything_is_written(shop):
    path = folder.configuration_file(shop, "Cloud")
    path.write_text("<half")
    before = below(shop), (shop / folder.DEFINITION).read_bytes()
    with pytest.raises(ServiceError, match=r"Cloud.cscfg:1: a tag is not closed"):
        scaffold.new_role(shop, "mail", "worker", "3.12.10")
    assert (below(shop), (shop / folder.DEFINITION).read_bytes()) == before


def test_a_web_role_gets_a_port_that_nothing_takes(shop):
    path = shop / folder.DEFINITION
    ports = '<AllocatePublicPortFrom><FixedPortRange min="81" max="90" /></AllocatePublicPortFrom>'
    endpoint = f'<InstanceInputEndpoint name="e" protocol="tcp" localPort="1">{ports}</InstanceInputEndpoint>'
    path.write_text(path.read_text().replace("</WorkerRole>", f"<Endpoints>{endpoint}</Endpoints></WorkerRole>"))
    scaffold.new_role(shop, "shop", "web", "3.12.10")
    (added,) = [role for role in folder.load(shop, "Local").roles if role.name == "shop"]
    assert added.endpoints[0].port == 91


def test_a_role_that_is_configured_and_not_defined_is_not_made_again(shop):
    path = folder.configuration_file(shop, "Cloud")
    path.write_text(path.read_text().replace("</S", '  <Role name="Mail"><Instances count="3" /></Role>\n</S'))
    before = below(shop)
    with pytest.raises(ServiceError, match=r"Cloud.cscfg:\d+: it configures a role 'Mail' already. Remove it there"):
        scaffold.new_role(shop, "mail", "worker", "3.12.10")
    assert below(shop) == before


def test_a_role_is_not_made_through_a_link_out_of_the_service(shop, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (shop / "roles" / "more").symlink_to(elsewhere)
    with pytest.raises(ServiceError, match="roles/more: it is a link to a place that is not in or beside the service"):
        scaffold.new_role(shop, "more", "worker", "3.12.10")
    assert not list(elsewhere.iterdir())


def test_a_role_that_would_break_a_rule_is_not_made(shop):
    path = shop / folder.DEFINITION
    endpoints = "".join(f'<InputEndpoint name="e{n}" protocol="tcp" port="{1000 + n}" />' for n in range(24))
    path.write_text(path.read_text().replace("</WorkerRole>", f"<Endpoints>{endpoints}</Endpoints></WorkerRole>"))
    before = below(shop)
    with pytest.raises(ServiceError, match="the service has 26 endpoints"):
        scaffold.new_role(shop, "more", "web", "3.12.10")
    assert below(shop) == before


def test_every_configuration_gets_the_role_whatever_its_name(shop):
    west = shop / "ServiceConfiguration.Cloud.West.cscfg"
    west.write_bytes(folder.configuration_file(shop, "Cloud").read_bytes())
    scaffold.new_role(shop, "mail", "worker", "3.12.10")
    assert [one.configuration for one in folder.check(shop, date(2026, 11, 21)).services] == [
        "Cloud",
        "Cloud.West",
        "Local",
    ]


@pytest.mark.parametrize(("role", "kind"), [("frontend", "web"), ("renderer", "worker")])
def test_the_sample_service_has_the_support_files_of_the_templates(role, kind):
    values = {"name": role, "kind": kind, "python": "3.12.10", "port": 80}
    support = [file for file in scaffold.render(["support", kind], values) if file.path.parts[0] == "bin"]
    assert len(support) == (3 if kind == "web" else 5)
    for file in support:
        assert (ROOT / "roles" / role / file.path).read_bytes() == file.content
