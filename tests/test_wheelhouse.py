"""Wheels for the target: resolved, fetched with hashes, built where needed, refused where they cannot run."""

import base64
import hashlib
import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import make_wheel

from cloudservice.errors import ServiceError
from cloudservice.files import sha256_of, shown
from packager import locks, requirements, store, target, wheelhouse
from packager.policy import KEEP, Need, Policy

WINDOWS = target.parse("win_amd64", "3.12")


def prepare(
    tmp_path: Path, *texts: str, policy: Policy = KEEP, on: target.Target = WINDOWS, keep: bool = False
) -> wheelhouse.Wheelhouse:
    """The wheelhouse of roles with these requirements; with `keep` their locks are written."""
    needs = {}
    for number, text in enumerate(texts):
        path = tmp_path / f"role{number}" / "requirements.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        needs[f"role{number}"] = Need(requirements.read(path), on)
    house = wheelhouse.prepare(needs, lambda *_: None, policy)
    for role, need in needs.items() if keep else ():
        locks.write(need.asked, house.roles[role], role)
    return house


@pytest.fixture
def empty_store(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def wheels(tmp_path, index, empty_store):
    """`main` needs `wincolour` on Windows only and has a wheel for each of several machines."""
    folder = tmp_path / "wheels"
    only_there = ('wincolour ; sys_platform == "win32"', 'nixcolour ; sys_platform == "linux"')
    for tag in ("cp312-cp312-win_amd64", "cp312-abi3-win_amd64", "cp312-cp312-manylinux_2_28_x86_64", "py3-none-any"):
        index.add(make_wheel(folder, "main", "1.0", tag, only_there))
    index.add(make_wheel(folder, "wincolour", "2.0"))
    index.add(make_wheel(folder, "nixcolour", "3.0"))
    return folder


def test_markers_and_tags_of_the_target_choose(wheels, tmp_path):
    made = prepare(tmp_path, "main\n")
    assert [wheel.path.name for wheel in made.wheels] == [
        "main-1.0-cp312-cp312-win_amd64.whl",
        "wincolour-2.0-py3-none-any.whl",
    ]


def test_the_lock_is_one_that_pip_takes_with_hashes(wheels, tmp_path):
    made = prepare(tmp_path, "wincolour\n", "main\n")
    digest = hashlib.sha256((wheels / "wincolour-2.0-py3-none-any.whl").read_bytes()).hexdigest()
    header, python, *pins = locks.shipped(made.roles["role0"], "role0").splitlines()
    assert (header[0], python) == ("#", "# python 3.12.10 win_amd64")
    assert pins == [f"wincolour==2.0 --hash=sha256:{digest}"]
    assert len(made.wheels) == 2
    lock = tmp_path / "requirements.lock"
    lock.write_text(locks.shipped(made.roles["role0"], "role0"))
    shelf = made.wheels[1].path.parent
    options = ["--no-index", "--find-links", shelf, "--require-hashes", "--only-binary", ":all:"]
    into = ["--target", tmp_path / "installed", "-r", lock]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", *options, *into], check=True)
    assert (tmp_path / "installed" / "wincolour.py").is_file()


def test_a_file_with_another_hash_than_promised_is_refused(tmp_path, index, empty_store):
    index.add(make_wheel(tmp_path / "wheels", "main", "1.0"), sha256="0" * 64)
    with pytest.raises(ServiceError, match=rf"main 1.0: main-1.0-.* has the SHA-256 [0-9a-f]{{64}}, .*{'0' * 64}"):
        prepare(tmp_path, "main\n")
    assert not [path for path in store.location().rglob("*") if path.is_file()]


def test_a_damaged_file_of_the_store_is_fetched_again(wheels, tmp_path):
    first = prepare(tmp_path, "wincolour\n").wheels[0]
    first.path.write_bytes(b"damaged")
    again = prepare(tmp_path, "wincolour\n").wheels[0]
    assert sha256_of(again.path) == again.sha256 == first.sha256


def test_every_package_that_cannot_be_had_is_told(wheels, tmp_path):
    with pytest.raises(ServiceError) as raised:
        prepare(tmp_path, "# first\nmain\nno-such-one\n", "wincolour>3\n")
    first, second = map(str, raised.value.faults)
    assert "role0/requirements.txt:3: no index has a package 'no-such-one'. Correct the name" in first
    assert "role1/requirements.txt:1: it cannot be installed:" in second
    assert "wincolour>3" in second


def test_without_network_and_store_the_message_says_so(tmp_path, monkeypatch, empty_store, index):
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(ServiceError, match="the package index cannot be reached, and the local store lacks"):
        prepare(tmp_path, "main\n")


@pytest.mark.network
def test_an_sdist_of_pure_python_is_built_once(tmp_path, empty_store):
    made = prepare(tmp_path, "docopt==0.6.2\n")
    assert [wheel.path.name for wheel in made.wheels] == ["docopt-0.6.2-py2.py3-none-any.whl"]
    before = made.wheels[0].path.stat().st_mtime_ns
    assert prepare(tmp_path, "docopt==0.6.2\n").wheels[0].path.stat().st_mtime_ns == before


@pytest.mark.network
def test_c_code_without_a_windows_wheel_is_refused_and_an_optional_c_part_left_out(tmp_path, empty_store):
    with pytest.raises(ServiceError) as raised:
        prepare(tmp_path, "flask\n", "simplejson==3.10.0\nnetifaces==0.11.0\n")
    (fault,) = map(str, raised.value.faults)
    assert fault.replace(f"{shown(tmp_path)}/", "").endswith(
        "role1/requirements.txt:2: netifaces 0.11.0 cannot be bundled for Windows x64, CPython 3.12: it has no wheel "
        "for it, and building here makes a linux_x86_64 wheel (it has C code). Pin a version that has a win_amd64 "
        "wheel, put a wheel in role1/wheels/, build it on a Windows host with `invoke wheels --build-on HOST`, or mark "
        'it ; sys_platform != "win32".'
    )


@pytest.fixture
def private_index(tmp_path, empty_store, monkeypatch):
    """An index on a port of this machine that wants user `u` with the password `p w`."""
    wheel = make_wheel(tmp_path / "wheels", "secret", "1.0")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    wanted = "Basic " + base64.b64encode(b"u:p w").decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.headers["Authorization"] != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", "Basic")
                self.end_headers()
                return
            page = f'<a href="/files/{wheel.name}#sha256={digest}">{wheel.name}</a>'.encode()
            is_page = self.path.startswith("/simple/")
            body = page if is_page else wheel.read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if is_page else "application/zip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    for name in ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_FIND_LINKS", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}/simple/"
        server.shutdown()
        thread.join()


def test_credentials_of_the_index_fetch_too_and_reach_no_lock(private_index, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", f"http://u:p%20w@{private_index}")
    made = prepare(tmp_path, "secret\n")
    assert locks.shipped(made.roles["role0"], "role0").splitlines()[2].startswith("secret==1.0 --hash=sha256:")
    assert "127.0.0.1" not in locks.shipped(made.roles["role0"], "role0")


def test_wrong_credentials_are_named_and_not_shown(private_index, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", f"http://u:wrong-word@{private_index}")
    with pytest.raises(ServiceError) as raised:
        prepare(tmp_path, "secret\n")
    assert "refuses access (401). Check the credentials in pip's configuration." in str(raised.value)
    assert "wrong-word" not in str(raised.value)
