"""Roles as `new-role` makes them, published: sites of IIS, workers of ps.cmd, certificates; wheels built on a host."""

import json
import subprocess
import tarfile
import urllib.request
import zipfile

import pytest
import windows as wine
from conftest import ROOT, add_role, make_project
from farm import Farm
from machines import Machine

MISSING = wine.why_not()
pytestmark = [pytest.mark.wine, pytest.mark.network, pytest.mark.skipif(bool(MISSING), reason=str(MISSING))]


@pytest.fixture
def farm(installation, tmp_path, rolepack):
    machine = Machine(installation, tmp_path / "m0", "127.0.0.1")
    rolepack.ok("new-service", "shop", cwd=tmp_path)
    made = Farm(tmp_path / "shop", [machine], rolepack)
    made.options["up_within"] = 60
    with machine.winrm() as host:
        made.hosts = [host]
        yield made
    machine.close()


def get(farm, path="/"):
    with urllib.request.urlopen(f"http://127.0.0.1:{farm.port}{path}", timeout=20) as answer:
        return answer.read().decode()


def test_a_web_role_is_a_site_of_iis_and_a_worker_role_a_scheduled_task(farm):
    add_role(farm.folder, "site", "web", "wsgi", port=farm.port)
    add_role(farm.folder, "jobs", "worker")
    farm.rolepack.ok("package", "--python", "3.11", cwd=farm.folder)
    farm.write_hosts(roles=["site", "jobs"])
    farm.ok("publish", "--yes")
    machine = farm.machines[0]
    assert machine.sites()["rolepack-shop-a-site_IN_0-Web"]["state"] == "Started"
    assert "site_IN_0" in get(farm)
    assert machine.tasks()["rolepack\\shop\\a\\jobs_IN_0"] == "Running"
    assert [call for call in machine.calls() if call[0].startswith("dism") and "/FeatureName:IIS-CGI" in call]
    states = {one["name"]: one["state"] for one in json.loads(farm.ok("status", "--remote", "--json"))["instances"]}
    assert states == {"site_IN_0": "Ready", "jobs_IN_0": "Ready"}
    texts = [json.loads(line)["text"] for line in farm.ok("logs", "--remote", "--json").splitlines()]
    assert "jobs_IN_0 is at work" in texts


@pytest.mark.long
def test_a_web_role_that_is_broken_leaves_the_page_of_the_version_before(farm):
    add_role(farm.folder, "site", "web", "wsgi", port=farm.port)
    farm.rolepack.ok("package", "--python", "3.11", cwd=farm.folder)
    farm.write_hosts(roles=["site"])
    farm.ok("publish", "--yes")
    app = farm.folder / "roles" / "site" / "app.py"
    app.write_text(app.read_text() + "\nraise RuntimeError('half a thought')\n")
    farm.options["up_within"] = 3
    farm.write_hosts(roles=["site"])
    farm.rolepack.ok("package", "--python", "3.11", cwd=farm.folder)
    told = farm.refused("publish", "--yes")
    assert "site_IN_0: it is not Ready after 3 s: site Web, port" in told
    assert "the answer is 500: " in told
    assert "site_IN_0" in get(farm)
    assert [one for one in farm.machines[0].sites() if one.startswith("rolepack")] == ["rolepack-shop-a-site_IN_0-Web"]


def test_a_port_that_another_site_has_is_told_before_anything_is_done(farm):
    add_role(farm.folder, "site", "web", "wsgi", port=80)
    farm.rolepack.ok("package", "--python", "3.11", cwd=farm.folder)
    farm.write_hosts(roles=["site"])
    told = farm.refused("publish", "--yes")
    assert "host 'm0': port 80 belongs to the site 'Default Web Site' of its IIS. Stop it there" in told
    assert list(farm.machines[0].tasks()) == []


def openssl(*words):
    return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, text=True).stdout


def pfx(folder, password):
    """A certificate with its key in the form that every Windows reads, and its thumbprint."""
    key, made, path = folder / "shop.key", folder / "shop.pem", folder / "shop.pfx"
    about = ["-subj", "/CN=shop.example.com", "-days", "2", "-keyout", key, "-out", made]
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", *about)
    old = ["-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"]
    openssl("pkcs12", "-export", *old, "-inkey", key, "-in", made, "-out", path, "-passout", f"pass:{password}")
    printed = openssl("x509", "-in", made, "-noout", "-fingerprint", "-sha1")
    return path, printed.strip().rpartition("=")[2].replace(":", "")


CERTIFIED = """
    <Certificates>
      <Certificate name="Web" storeLocation="LocalMachine" storeName="My" />
    </Certificates>
"""
ASKED = """import sys
sys.path.insert(0, sys.argv[1])
from publisher.agent import certificates
from publisher.agent.values import Certificate
print(certificates.is_there(Certificate("Web", sys.argv[2], "LocalMachine", "My")))
"""


def test_a_declared_certificate_comes_into_its_store(farm, tmp_path):
    path, thumbprint = pfx(farm.folder, "pfx-secret")
    farm.configure()
    certificate = f'<Certificate name="Web" thumbprint="{thumbprint}" thumbprintAlgorithm="sha1" />'
    text = (farm.folder / "ServiceConfiguration.Cloud.cscfg").read_text()
    certified = text.replace("  </Role>", f"<Certificates>{certificate}</Certificates>\n  </Role>")
    for place in (farm.folder, farm.folder / "dist"):
        (place / "ServiceConfiguration.Cloud.cscfg").write_text(certified)
    farm.write_hosts()
    farm.package("1", startup=CERTIFIED.strip())
    told = farm.refused("publish", "--yes")
    assert "certificate 'Web' is not on the hosts, and no file is named for it. Add it to `certificates`" in told
    farm.options["certificates"] = {"Web": path.name}
    farm.write_hosts()
    variable = "ROLEPACK_CERTIFICATE_PASSWORD_WEB"
    assert f"there is no password for certificate Web. Set {variable}" in farm.refused("publish", "--yes")
    told = farm.refused("publish", "--yes", **{variable: "wrong-secret"})
    assert "certificate 'Web': its .pfx cannot be read, or its password is wrong" in told
    assert "wrong-secret" not in told
    assert farm.answer() is None
    farm.environ[variable] = "pfx-secret"
    farm.ok("publish", "--yes")
    assert farm.versions() == ["1"]
    machine = farm.machines[0]
    code = machine.path(ROOT)
    asked = machine.windows.python("-c", ASKED, code, thumbprint, cwd=tmp_path)
    assert asked.stdout.split() == ["True"], asked.stdout
    assert "pfx-secret" not in str(machine.calls())


THERE = "cp311-cp311-win_amd64"


def sdist(folder, index, backend=None):
    """A package whose build gives a wheel for the system that it runs on."""
    project = make_project(folder / "native-2.0", "native", "2.0", "cp311-cp311-linux_x86_64")
    tiny = project / "tiny.py"
    there = f"if os.name == 'nt':\n        tag = {THERE!r}\n        {backend or 'pass'}\n    info, name"
    tiny.write_text(tiny.read_text().replace("info, name", there, 1))
    path = folder / "native-2.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(project, project.name)
    return index.add(path)


@pytest.fixture
def native(farm, index):
    """A worker role that needs a package without a wheel for Windows."""
    add_role(farm.folder, "jobs", "worker")
    (farm.folder / "roles" / "jobs" / "requirements.txt").write_text("native\n")
    farm.write_hosts(roles=["jobs"])
    return lambda backend=None: sdist(farm.folder.parent, index, backend)


def test_a_wheel_is_built_on_a_host_and_shelved(farm, native):
    """The build backend asks where it runs; what a compiler would do there is left out."""
    native()
    refused = farm.refused("package", "--python", "3.11")
    assert "`invoke wheels --build-on HOST`" in refused
    said = farm.ok("wheels", "--build-on", "m0", "--python", "3.11")
    assert "m0: builds native-2.0.tar.gz for Python 3.11" in said
    assert f"Put native-2.0-{THERE}.whl into roles/jobs/wheels/: commit it, and nobody needs m0 for it again." in said
    with zipfile.ZipFile(farm.folder / f"roles/jobs/wheels/native-2.0-{THERE}.whl") as wheel:
        assert b"VERSION = '2.0'" in wheel.read("native.py")
    farm.hosts[0].refuse = True
    farm.ok("package", "--python", "3.11")


def test_a_build_that_fails_there_is_told_with_its_last_lines(farm, native):
    native("raise SystemExit('cl.exe is not here')")
    told = farm.refused("wheels", "--build-on", "m0", "--python", "3.11")
    assert "host 'm0', building: native-2.0.tar.gz cannot be built: " in told
    assert "cl.exe is not here" in told
    assert "there is no host 'm9'. Choose from m0" in farm.refused("wheels", "--build-on", "m9", "--python", "3.11")
    assert "there is no Python 3.9" in farm.refused("wheels", "--build-on", "m0", "--python", "3.9")
