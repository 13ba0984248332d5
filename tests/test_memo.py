"""A second packaging of an unchanged service reads nothing but the times of its files; any change is seen."""

import json
import os
import shutil
import time

import pytest
from conftest import make_project, make_wheel

AGAIN = "Nothing has changed since the last packaging."


@pytest.fixture
def packaged(service, index, tmp_path, rolepack):
    """A service that was packaged, and is at rest."""
    place = service("pair")
    index.add(make_wheel(tmp_path / "made", "wfastcgi", "3.0.0"))
    index.add(make_wheel(tmp_path / "made", "main", "1.0"))
    make_project(tmp_path / "near", "near", "1.0")
    (tmp_path / "common.txt").write_text("# nothing yet\n")
    (place / "roles/web/.rolepackignore").write_text("runtime.txt\nwheels/\nnothing\n")
    (place / "roles/web/runtime.txt").write_text("3.12")
    (place / "roles/web/wheels").mkdir()
    (place / "roles/jobs/requirements.txt").write_text("main\n../../../near\n-r ../../../common.txt\n")
    rolepack.ok("package", cwd=place)  # writes the locks, so that this may not be taken for the state of rest
    rolepack.ok("package", cwd=place)
    assert AGAIN in rolepack.ok("package", cwd=place)
    return place


def test_it_says_the_same_without_index_and_store(packaged, rolepack, index, tmp_path):
    before = written(packaged / "dist/pair.cspkg")
    shutil.rmtree(index.root)
    environ = {"XDG_CACHE_HOME": str(tmp_path / "empty"), "UV_OFFLINE": "1"}
    first, *rest = rolepack.ok("package", cwd=packaged, **environ).splitlines()
    assert first == AGAIN
    assert rest[0].startswith("Packaged web, jobs with 3 wheels for Windows x64, CPython 3.12 into dist/pair.cspkg")
    told = json.loads(rolepack.ok("package", "--json", cwd=packaged, **environ))
    assert told["package"] == str(packaged / "dist/pair.cspkg")
    assert written(packaged / "dist/pair.cspkg") == before


def written(path):
    """What changes when a file is written, and not when it is read."""
    there = path.stat()
    return there.st_ino, there.st_size, there.st_mtime_ns, there.st_ctime_ns


def edit(path):
    """Change a file without changing its length or its time."""
    there = path.stat()
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(there.st_atime_ns, there.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        lambda place: edit(place / "roles/web/lib/extra.py"),
        lambda place: (place / "roles/web/lib/new.py").touch(),
        lambda place: (place / "roles/web/lib/extra.py").unlink(),
        lambda place: (place / "roles/jobs/runtime.txt").write_text("python-3.11"),
        lambda place: (place / "ServiceConfiguration.Cloud.cscfg").write_bytes(
            (place / "ServiceConfiguration.Cloud.cscfg").read_bytes() + b"\n"
        ),
        lambda place: (place / "invoke.yaml").write_text("other: 1\n"),
        lambda place: (place / "../common.txt").write_text("main<2\n"),
        lambda place: (place / "../near/near.py").write_text("VERSION = 'edited'\n"),
        lambda place: (place / "dist/pair.cspkg").write_text("damaged"),
        lambda place: (place / "dist/ServiceConfiguration.Cloud.cscfg").unlink(),
        lambda place: (place / ".rolepack/package.json").write_text("[]"),
        lambda place: edit(place / "roles/web/.rolepackignore"),
        lambda place: (place / "roles/web/runtime.txt").write_text("3.11"),
        lambda place: make_wheel(place / "roles/web/wheels", "odd", "1.0"),
    ],
)
def test_every_change_is_seen(packaged, rolepack, change):
    change(packaged)
    assert AGAIN not in rolepack.ok("package", cwd=packaged)
    assert (packaged / "dist/pair.cspkg").stat().st_size > 1000


def test_other_options_are_another_packaging(packaged, rolepack, tmp_path):
    assert AGAIN not in rolepack.ok("package", "--python", "3.11", cwd=packaged)
    assert AGAIN not in rolepack.ok("package", "--output", tmp_path / "x.cspkg", cwd=packaged)


def test_a_change_right_after_a_file_was_read_is_seen(packaged, rolepack):
    path = packaged / "roles/web/lib/extra.py"
    for number in range(3):
        path.write_text(f"WORD = {number}\n")
        assert AGAIN not in rolepack.ok("package", cwd=packaged)
        future = time.time() + 60
        os.utime(path, (future, future))
        assert AGAIN not in rolepack.ok("package", cwd=packaged)
        assert AGAIN not in rolepack.ok("package", cwd=packaged)  # its time is not past yet


def test_variables_that_were_read_count(packaged, rolepack):
    for name in ("one", "two"):
        (packaged / name).mkdir()
        (packaged / name / "x.txt").write_text(name)
    path = packaged / "ServiceDefinition.csdef"
    content = '<Contents><Content destination="x"><SourceDirectory path="%WHICH%" /></Content></Contents>'
    path.write_text(path.read_text().replace("</WebRole>", f"{content}</WebRole>"))
    for _ in range(2):
        rolepack.ok("package", cwd=packaged, WHICH="one")
    assert AGAIN in rolepack.ok("package", cwd=packaged, WHICH="one")
    assert AGAIN not in rolepack.ok("package", cwd=packaged, WHICH="two")
