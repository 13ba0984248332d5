"""A Python package in a bundle, for hosts that have none and no network."""

import struct
import zipfile

import pytest
from bundles import extract
from conftest import make_wheel

from cloudservice.errors import ServiceError
from packager import interpreter, target

WINDOWS = target.parse("win_amd64", "3.12")
MACHINES = {"win_amd64": 0x8664, "win_arm64": 0xAA64, "win32": 0x014C, "odd": 0x1234}


def program(machine: str) -> bytes:
    """The head of an executable."""
    head = bytearray(0x80)
    head[:2] = b"MZ"
    struct.pack_into("<I", head, 0x3C, 0x40)
    struct.pack_into("<4sH", head, 0x40, b"PE\0\0", MACHINES[machine])
    return bytes(head)


@pytest.fixture
def package(tmp_path):
    """Makes a Python package with what a test wants of it."""

    def make(name="python.3.12.10.nupkg", folder="tools/", version="312", machine="win_amd64", without=()):
        place = tmp_path / name
        content = {"python.exe": program(machine), f"python{version}.dll": b"MZ"}
        content |= {"Lib/venv/__init__.py": b"", "Lib/ensurepip/__init__.py": b""}
        with zipfile.ZipFile(place, "w") as archive:
            for path, data in content.items():
                if path not in without:
                    archive.writestr(f"{folder}{path}", data)
        return place

    return make


@pytest.mark.parametrize(("name", "folder"), [("Python.3.12.nupkg", "tools/"), ("python-full.zip", "")])
def test_a_whole_python_for_the_target_is_taken(package, name, folder):
    interpreter.check(package(name=name, folder=folder), WINDOWS)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"without": ("python.exe",)}, "it holds no python.exe, neither in tools nor at its top"),
        ({"folder": "deep/er/"}, "it holds no python.exe"),
        ({"without": ("Lib/venv/__init__.py",)}, r"it is not a whole Python: Lib/venv/__init__.py is not in it"),
        ({"version": "311"}, "it holds Python 3.11, and the wheels are for 3.12"),
        ({"without": ("python312.dll",)}, "it holds Python of an unknown version"),
        ({"machine": "win_arm64"}, "its Python is for win_arm64, and the wheels are for win_amd64"),
        ({"machine": "odd"}, "its Python is for an unknown machine"),
        ({"name": "python.tar"}, "it is neither a .nupkg nor a .zip"),
    ],
)
def test_any_other_is_refused(package, wanted, told):
    with pytest.raises(ServiceError, match=told) as error:
        interpreter.check(package(**wanted), WINDOWS)
    assert "so it cannot go into the bundle. Give the NuGet package python 3.12.10, as NuGet" in str(error.value)


@pytest.mark.parametrize(("content", "told"), [(None, "there is no such file"), (b"PK", "it is no whole package")])
def test_what_is_no_zip_is_refused(tmp_path, content, told):
    path = tmp_path / "python.zip"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ServiceError, match=told):
        interpreter.check(path, WINDOWS)


def test_a_program_that_is_cut_short_is_refused(package):
    path = package(without=("python.exe",))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("tools/python.exe", b"MZ")
    with pytest.raises(ServiceError, match="it is no whole package"):
        interpreter.check(path, WINDOWS)


@pytest.fixture
def without_network(index, tmp_path, shop):
    """A service whose packages are on an index of the test's own."""
    index.add(make_wheel(tmp_path / "wheels", "wfastcgi", "3.0.0"))
    (shop / "roles/web/requirements.txt").unlink()
    return shop


def test_every_role_gets_it_where_the_script_looks_and_its_bytes_are_there_once(
    without_network, package, rolepack, tmp_path
):
    shop, brought = without_network, package()
    said = rolepack.ok("package", "--with-python", brought, cwd=shop)
    assert "with 1 wheel and python.3.12.10.nupkg for Windows x64" in said
    bundle = shop / "dist/shop.cspkg"
    for role in ("web", "jobs"):
        extract(bundle, role, tmp_path / role)
        assert (tmp_path / role / "approot/bin/python.nupkg").read_bytes() == brought.read_bytes()
    with zipfile.ZipFile(bundle) as archive:
        assert [archive.read(name) for name in archive.namelist()].count(brought.read_bytes()) == 1


def test_a_package_that_a_role_brings_itself_is_not_doubled(without_network, package, rolepack):
    shop, brought = without_network, package()
    (shop / "roles/jobs/bin/python-3.11.zip").write_bytes(b"mine")
    told = rolepack.refused("package", "--with-python", brought, cwd=shop)
    assert "roles/jobs/bin/python-3.11.zip: the bundle is to bring another Python package. Remove it, or" in told
    assert not (shop / "dist").exists()


def test_the_bridge_to_iis_comes_with_a_web_role_on_windows_and_no_other(without_network, rolepack, tmp_path):
    shop = without_network
    rolepack.ok("package", cwd=shop)
    for role in ("web", "jobs"):
        extract(shop / "dist/shop.cspkg", role, tmp_path / role)
    assert [path.name for path in (tmp_path / "web/approot/wheelhouse").iterdir()] == [
        "wfastcgi-3.0.0-py3-none-any.whl"
    ]
    assert "wfastcgi==3.0.0 --hash=sha256:" in (tmp_path / "web/approot/requirements.lock").read_text()
    assert not (tmp_path / "jobs/approot/wheelhouse").exists()
    assert "# python 3.12.10 win_amd64" in (tmp_path / "jobs/approot/requirements.lock").read_text()
    rolepack.ok("package", "--target", "host", "--output", "here.cspkg", cwd=shop)
    extract(shop / "here.cspkg", "web", tmp_path / "here")
    assert not (tmp_path / "here/approot/wheelhouse").exists()


@pytest.mark.parametrize("line", ["WFastCGI==2.2.0", "-r more.txt", "-c more.txt"])
def test_a_role_that_pins_the_bridge_keeps_its_version(without_network, index, rolepack, tmp_path, line):
    shop = without_network
    index.add(make_wheel(tmp_path / "wheels", "wfastcgi", "2.2.0"))
    (shop / "roles/web/more.txt").write_text("WFastCGI==2.2.0\n")
    (shop / "roles/web/requirements.txt").write_text(f"{line}\n")
    rolepack.ok("package", cwd=shop)
    extract(shop / "dist/shop.cspkg", "web", tmp_path / "web")
    assert "wfastcgi==2.2.0" in (tmp_path / "web/approot/requirements.lock").read_text()


def test_an_index_without_the_bridge_is_told_apart_from_a_mistake_of_the_role(shop, index, rolepack):
    (shop / "roles/web/requirements.txt").unlink()
    told = rolepack.refused("package", cwd=shop)
    assert "roles/web: no index has a package 'wfastcgi', which a web role needs under IIS. Add the index" in told


def test_a_python_for_windows_is_refused_for_another_target(package, shop, rolepack):
    told = rolepack.refused("package", "--target", "host", "--with-python", package(), cwd=shop)
    assert told.startswith("--with-python: it is for Windows hosts, and the wheels are for this machine")


@pytest.mark.parametrize("name", ["../evil.exe", "/evil.exe", "C:/evil.exe", "tools/..\\..\\evil.exe"])
def test_a_package_that_leads_out_of_its_folder_is_refused(package, name):
    path = package()
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"")
    with pytest.raises(ServiceError, match="an entry of it leads out of the folder it is unpacked to"):
        interpreter.check(path, WINDOWS)


@pytest.mark.parametrize(("at", "value"), [(8, b"\x63"), (6, b"\x01")])
def test_an_odd_zip_is_refused_without_a_traceback(package, at, value):
    path = package(without=("python.exe",))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tools/python.exe", program("win_amd64"))
    content = bytearray(path.read_bytes())
    for mark, shift in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
        place = content.rindex(mark) + at + shift
        content[place : place + 1] = value
    path.write_bytes(content)
    with pytest.raises(ServiceError, match="so it cannot go into the bundle"):
        interpreter.check(path, WINDOWS)
