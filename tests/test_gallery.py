"""The sample service that the repository carries, and a service made from nothing: the main job, end to end."""

import io
import os
import re
import shutil
import signal
import struct
import subprocess
import zipfile
import zlib
from pathlib import Path

import pytest
from conftest import ROOT, get, is_alive

pytestmark = pytest.mark.network


@pytest.fixture
def gallery(tmp_path):
    place = tmp_path / "gallery"
    place.mkdir()
    for name in ("ServiceDefinition.csdef", "tasks.py", *(path.name for path in ROOT.glob("*.cscfg"))):
        shutil.copy(ROOT / name, place / name)
    shutil.copytree(ROOT / "roles", place / "roles")
    return place


def pixels(png: bytes) -> bytes:
    """The size and the raw rows of a picture, from its chunks."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    file, data, size = io.BytesIO(png[8:]), b"", (0, 0)
    while head := file.read(8):
        length, kind = struct.unpack(">I4s", head)
        body = file.read(length)
        assert zlib.crc32(kind + body) == struct.unpack(">I", file.read(4))[0]
        if kind == b"IHDR":
            size = struct.unpack(">II", body[:8])
        data += body if kind == b"IDAT" else b""
    rows = zlib.decompress(data)
    assert size == (256, 256)
    assert len(rows) == 256 * (256 * 3 + 1)
    return rows


def test_the_page_shows_a_picture_that_the_worker_drew(gallery, rolepack):
    rolepack.ok("emulate", "--detach", cwd=gallery)
    status = rolepack.status(gallery)
    url = status["endpoints"]["frontend/Endpoint1"]
    pages = [get(url).decode() for _ in range(40)]
    assert {re.search("<strong>(.*)</strong>", page)[1] for page in pages} == {"frontend_IN_0", "frontend_IN_1"}
    assert all("<h1>Drawn on this machine</h1>" in page for page in pages)
    source = re.search('<img src="([^"]+)"', pages[0])[1]
    first = pixels(get(url + source))
    assert first == pixels(get(url + source)) != pixels(get(f"{url}/picture.png?seed=-1".replace("-1", "123456")))
    logged = rolepack.ok("logs", "--instance", "renderer_IN_0", cwd=gallery)
    assert f"drew picture {source.rpartition('=')[2]}" in logged
    renderer = status["instances"][2]
    os.kill(renderer["pid"], signal.SIGKILL)
    assert pixels(get(url + source)) == first, "also while the renderer starts again"
    assert rolepack.status(gallery)["instances"][2]["restarts"] == 1
    rolepack.ok("stop", cwd=gallery)
    assert not is_alive(renderer["pid"])


def test_two_packagings_give_the_same_bytes_and_every_hash_matches(gallery, rolepack):
    said = rolepack.ok("package", cwd=gallery)
    assert "Packaged frontend, renderer with 10 wheels for Windows x64, CPython 3.12 into dist/gallery.cspkg" in said
    assert "Azure's own fabric cannot start this bundle" in said
    bundle = gallery / "dist" / "gallery.cspkg"
    first = bundle.read_bytes()
    beside = gallery / "dist" / "ServiceConfiguration.Cloud.cscfg"
    assert beside.read_bytes() == (gallery / beside.name).read_bytes()
    rolepack.ok("package", "--json", cwd=gallery)
    assert bundle.read_bytes() == first
    with zipfile.ZipFile(bundle) as archive:
        assert archive.testzip() is None
        text = archive.read("package.xml").decode("utf-8-sig")
    names = re.findall(r"<FilePath>(.*?)</FilePath>", text)
    wheels = {name.rpartition("\\")[2] for name in names if "\\wheelhouse\\" in name}
    assert any(re.fullmatch(r"numpy-2\.\d+\.\d+-cp312-cp312-win_amd64\.whl", wheel) for wheel in wheels)
    assert {path.name for path in bundle.parent.iterdir()} == {bundle.name, beside.name, "gallery.cdx.json"}


def test_a_service_made_from_nothing_runs_without_an_edit(tmp_path, rolepack):
    rolepack.ok("new-service", "shop", "--web", "web", cwd=tmp_path)
    shop = tmp_path / "shop"
    invoke = Path(rolepack.argv()[0]).parent / "invoke"
    for words in (("new-role", "jobs", "--kind", "worker"), ("check",)):
        subprocess.run([invoke, *words], cwd=shop, check=True, capture_output=True)
    rolepack.ok("emulate", "--detach", cwd=shop / "roles")
    status = rolepack.status(shop)
    assert {one["name"]: one["state"] for one in status["instances"]} == {"web_IN_0": "Ready", "jobs_IN_0": "Ready"}
    assert b"Answered by <strong>web_IN_0" in get(status["endpoints"]["web/Endpoint1"])
    logged = rolepack.ok("logs", "--instance", "jobs_IN_0", cwd=shop)
    assert "configuring jobs_IN_0 with Python" in logged
    assert "jobs_IN_0 is at work" in logged
    rolepack.ok("stop", cwd=shop)
    assert "jobs_IN_0 has stopped" in rolepack.ok("logs", "--instance", "jobs_IN_0", cwd=shop)
