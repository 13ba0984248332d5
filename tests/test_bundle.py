"""The bundle: documented layout, right hashes, the same bytes for the same input."""

import base64
import hashlib
import os
import zipfile
from pathlib import Path, PureWindowsPath
from xml.etree import ElementTree

import pytest
from bundles import NAMESPACE, layouts, manifest
from conftest import make_wheel

from cloudservice import folder, location
from cloudservice.errors import ServiceError
from cloudservice.files import sha256_of
from packager import bundle, store, target, wheelhouse
from packager.locks import Entry, Lock
from packager.pins import Pin

WINDOWS = target.parse("win_amd64", "3.12")


def quiet(*_):
    pass


@pytest.fixture
def shared_wheel(tmp_path):
    """A wheelhouse in which both roles have the same wheel."""
    path = make_wheel(tmp_path / "wheels", "shared", "1.0")
    store.keep(path)
    pin = Pin("shared", "1.0", "file", filename=path.name, sha256=sha256_of(path))
    lock = Lock(WINDOWS, "", (Entry(pin, path.name, pin.sha256),))
    return wheelhouse.Wheelhouse({"web": lock, "jobs": lock})


def write(place: Path, wheels: wheelhouse.Wheelhouse, to: Path) -> Path:
    bundle.write(to, bundle.plan(place, folder.load(place, "Local"), wheels), quiet)
    return to


def test_every_part_is_listed_with_its_length_and_hash(service, shared_wheel, tmp_path):
    with zipfile.ZipFile(write(service("pair"), shared_wheel, tmp_path / "x.cspkg")) as archive:
        listed = {}
        for content in manifest(archive).iter(f"{NAMESPACE}ContentDefinition"):
            name = content.findtext(f"{NAMESPACE}Name")
            assert content.findtext(f".//{NAMESPACE}DataStorePath") == name
            assert content.findtext(f".//{NAMESPACE}IntegrityCheckHashAlgortihm") == "Sha256"
            listed[name] = content
        heads = {"[Content_Types].xml", "_rels/.rels", "package.xml"}
        assert set(archive.namelist()) == heads | listed.keys()
        for name, content in listed.items():
            data = archive.read(name)
            digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
            assert content.findtext(f".//{NAMESPACE}IntegrityCheckHash") == digest
            assert content.findtext(f".//{NAMESPACE}LengthInBytes") == str(len(data))
        referenced = {part for layout in layouts(archive).values() for part in layout.values()}
        assert referenced == {name for name in listed if name.startswith("LocalContent/")}


def test_each_role_has_its_files_and_shares_the_wheel(service, shared_wheel, tmp_path):
    place = service("pair")
    with zipfile.ZipFile(write(place, shared_wheel, tmp_path / "x.cspkg")) as archive:
        web, jobs = layouts(archive)["Roles/web"], layouts(archive)["Roles/jobs"]
        wheel = "\\approot\\wheelhouse\\shared-1.0-py3-none-any.whl"
        assert web[wheel] == jobs[wheel]
        assert archive.getinfo(web[wheel]).compress_type == zipfile.ZIP_STORED
        assert {"\\RoleModel.xml", "\\approot\\web.config", "\\approot\\lib\\extra.py"} <= web.keys()
        assert archive.read(jobs["\\approot\\worker.py"]) == (place / "roles/jobs/worker.py").read_bytes()
        assert archive.read(jobs["\\approot\\requirements.lock"]).startswith(b"# The wheels of role 'jobs'")
        model = ElementTree.fromstring(archive.read(web["\\RoleModel.xml"]))
        (site,) = (element for element in model.iter() if element.tag.endswith("}Site"))
        assert site.attrib == {"name": "Web", "physicalDirectory": "approot"}


def test_content_types_and_relationship_let_an_opc_reader_open_it(service, shared_wheel, tmp_path):
    with zipfile.ZipFile(write(service("pair"), shared_wheel, tmp_path / "x.cspkg")) as archive:
        types = ElementTree.fromstring(archive.read("[Content_Types].xml"))
        overridden = {element.get("PartName") for element in types if element.tag.endswith("}Override")}
        extensions = {element.get("Extension") for element in types if element.tag.endswith("}Default")}
        for name in archive.namelist():
            extension = name.rpartition("/")[2].rpartition(".")[2]
            assert name == "[Content_Types].xml" or f"/{name}" in overridden or extension in extensions
        (relationship,) = ElementTree.fromstring(archive.read("_rels/.rels"))
        assert relationship.get("Target") == "/package.xml"
        assert relationship.get("TargetMode") == "External"
        assert str(relationship.get("Type")).endswith("/PackageDefinition/Version/2012/03/15")


def test_the_same_input_gives_the_same_bytes(service, shared_wheel, tmp_path, monkeypatch):
    place = service("pair")
    first = write(place, shared_wheel, tmp_path / "a.cspkg").read_bytes()
    for path in place.rglob("*"):
        os.utime(path, (1, 1))
    (place / "roles/web/__pycache__").mkdir()
    (place / "roles/web/__pycache__/site_app.pyc").touch()
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    monkeypatch.chdir(tmp_path)
    assert write(place, shared_wheel, Path("b.cspkg")).read_bytes() == first


def test_a_changed_file_changes_its_part_only(service, shared_wheel, tmp_path):
    place = service("pair")
    with zipfile.ZipFile(write(place, shared_wheel, tmp_path / "a.cspkg")) as archive:
        before = set(archive.namelist())
    (place / "roles/web/lib/extra.py").write_text("WORD = 'new'\n")
    with zipfile.ZipFile(write(place, shared_wheel, tmp_path / "b.cspkg")) as archive:
        assert len(before ^ set(archive.namelist())) == 2


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("aux.py", "Windows cannot have"), ("a:b", "Windows cannot have"), ("end.", "Windows cannot have")],
)
def test_names_that_windows_refuses_are_told(service, shared_wheel, tmp_path, name, wrong):
    place = service("pair")
    (place / "roles/web" / name).touch()
    (place / "roles/jobs" / name).touch()
    with pytest.raises(ServiceError, match=wrong) as raised:
        write(place, shared_wheel, tmp_path / "x.cspkg")
    assert len(raised.value.faults) == 2
    assert not (tmp_path / "x.cspkg").exists()


def test_names_that_differ_only_in_case_are_told(service, shared_wheel, tmp_path):
    place = service("pair")
    (place / "roles/web/SITE_APP.py").touch()
    with pytest.raises(ServiceError, match="on Windows it is the same file as"):
        write(place, shared_wheel, tmp_path / "x.cspkg")


def test_a_link_out_of_the_role_is_refused(service, shared_wheel, tmp_path):
    place = service("pair")
    secret = tmp_path / "secret"
    secret.touch()
    (place / "roles/web/innocent.txt").symlink_to(secret)
    with pytest.raises(ServiceError, match=r"innocent.txt: it is a link out of the role's folder"):
        write(place, shared_wheel, tmp_path / "x.cspkg")


def test_a_file_that_changes_meanwhile_is_noticed(service, shared_wheel, tmp_path):
    place, target_file = service("pair"), tmp_path / "x.cspkg"
    target_file.write_text("old bundle")
    planned = bundle.plan(place, folder.load(place, "Local"), shared_wheel)
    (place / "roles/web/site_app.py").write_text("changed")
    with pytest.raises(ServiceError, match=r"site_app.py: the file changed while it was packaged"):
        bundle.write(target_file, planned, quiet)
    assert target_file.read_text() == "old bundle"


def test_a_site_of_its_own_folder_lies_under_sitesroot(service, shared_wheel, tmp_path):
    place = service("pair")
    (place / "public").mkdir()
    (place / "public" / "index.html").write_text("hello")
    path = place / location.DEFINITION
    text = path.read_text(encoding="utf-8").replace('<Site name="Web">', '<Site name="Web" physicalDirectory="public">')
    path.write_text(text, encoding="utf-8")
    with zipfile.ZipFile(write(place, shared_wheel, tmp_path / "x.cspkg")) as archive:
        names = layouts(archive)["Roles/web"]
    assert str(PureWindowsPath("\\sitesroot\\0\\index.html")) in names


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (lambda path: path.symlink_to("nowhere"), "it is no ordinary file, or a link that leads to none"),
        (lambda path: path.symlink_to("lib"), "it is no ordinary file"),
        (os.mkfifo, "it is no ordinary file"),
    ],
)
def test_what_is_no_file_is_told(service, shared_wheel, tmp_path, make, wrong):
    place = service("pair")
    make(place / "roles/web/odd")
    with pytest.raises(ServiceError, match=f"odd: {wrong}"):
        write(place, shared_wheel, tmp_path / "x.cspkg")


def test_a_name_that_is_not_utf_8_is_told(service, shared_wheel, tmp_path):
    place = service("pair")
    Path(os.fsdecode(os.fsencode(place / "roles/web/x") + b"\xff")).touch()
    with pytest.raises(ServiceError, match="its name is not UTF-8"):
        write(place, shared_wheel, tmp_path / "x.cspkg")


@pytest.mark.parametrize("name", ["wheelhouse", "Requirements.lock"])
def test_what_the_bundle_adds_must_not_be_there(service, shared_wheel, tmp_path, name):
    place = service("pair")
    (place / "roles/jobs" / name).mkdir()
    with pytest.raises(ServiceError, match=f"{name}: the bundle puts its own there"):
        write(place, shared_wheel, tmp_path / "x.cspkg")
