"""Packaging as users do it: kills, several at once, hosts without a network, the commands around it."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest
from bundles import extract
from conftest import LIMIT, SERVICES, get, make_project, make_sdist, make_wheel, until

from cloudservice import folder
from packager import bundle, opened, unpacked
from packager.wheelhouse import Wheelhouse

TODAY = date(2026, 1, 1)


def quiet(*_):
    pass


@pytest.fixture
def place(service, index, tmp_path):
    """A service of two roles with a wheel, a wheel to be built and some data."""
    place = service("pair")
    index.add(make_wheel(tmp_path / "made", "wfastcgi", "3.0.0"))
    index.add(make_wheel(tmp_path / "made", "main", "1.0"))
    index.add(make_sdist(tmp_path / "made", "tobuild", "1.0"))
    for role in ("web", "jobs"):
        (place / "roles" / role / "requirements.txt").write_text("main\ntobuild\n")
        (place / "roles" / role / "data.bin").write_bytes(random.Random(role).randbytes(3_000_000))  # noqa: S311
    return place


def kill_at(rolepack, place: Path, moment: float, store: Path) -> None:
    """Start a packaging in a process group of its own and kill that after some seconds."""
    environ = {**os.environ, "XDG_CACHE_HOME": str(store)}
    argv = rolepack.argv("package")
    nothing = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(argv, cwd=place, env=environ, process_group=0, **nothing) as process:
        time.sleep(moment)  # the moment of the kill is what is tried here
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.long)])
def test_a_kill_at_any_moment_leaves_the_old_bundle_or_the_new_one(place, rolepack, tmp_path, kills):
    made = place / "dist" / "pair.cspkg"
    rolepack.ok("package", cwd=place)
    began = time.monotonic()
    (place / "roles/web/lib/extra.py").write_text("WORD = 'first'\n")
    shutil.rmtree(tmp_path / "store", ignore_errors=True)
    rolepack.ok("package", cwd=place, XDG_CACHE_HOME=str(tmp_path / "store"))
    whole = time.monotonic() - began
    generator = random.Random(7)  # noqa: S311
    for number in range(kills):
        shutil.rmtree(tmp_path / "store")
        for lock in place.glob("roles/*/*.lock"):
            lock.unlink()
        (place / "roles/web/lib/extra.py").write_text(f"WORD = {number}\n")
        kill_at(rolepack, place, generator.uniform(0.1, whole), tmp_path / "store")
        opened.verify(made, quiet)
        assert {path.name for path in made.parent.iterdir() if not path.name.endswith(".part")} <= {
            "pair.cspkg",
            "pair.cdx.json",
            "ServiceConfiguration.Cloud.cscfg",
        }
        rolepack.ok("package", cwd=place, XDG_CACHE_HOME=str(tmp_path / "store"))
        opened.verify(made, quiet)


def test_several_at_once_do_not_disturb_each_other(place, rolepack, tmp_path):
    other = Path(shutil.copytree(place, tmp_path / "other"))
    (other / "roles/web/lib/extra.py").write_text("WORD = 'other'\n")
    with ThreadPoolExecutor(4) as pool:
        folders = [place, other, place, other]
        list(
            pool.map(lambda folder: rolepack.ok("package", cwd=folder, XDG_CACHE_HOME=str(tmp_path / "store")), folders)
        )
    for one in (place, other):
        opened.verify(one / "dist/pair.cspkg", quiet)
    extract(place / "dist/pair.cspkg", "web", tmp_path / "a")
    extract(other / "dist/pair.cspkg", "web", tmp_path / "b")
    assert (tmp_path / "a/approot/lib/extra.py").read_text() != (tmp_path / "b/approot/lib/extra.py").read_text()


def test_a_damaged_store_is_mended_before_anything_is_packaged(place, rolepack, tmp_path):
    environ = {"XDG_CACHE_HOME": str(tmp_path / "store")}
    rolepack.ok("package", cwd=place, **environ)
    for path in (tmp_path / "store").rglob("*.whl"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    (place / "roles/web/lib/extra.py").write_text("WORD = 'new'\n")
    rolepack.ok("package", cwd=place, **environ)
    extract(place / "dist/pair.cspkg", "jobs", tmp_path / "a")
    assert opened.verify(place / "dist/pair.cspkg", quiet)


CUT_OFF = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]


@pytest.mark.skipif(sys.platform != "linux", reason="a network is cut off with a namespace of Linux")
def test_a_host_without_network_and_compiler_installs_what_is_in_the_bundle(place, rolepack, tmp_path):
    rolepack.ok("package", "--target", "host", cwd=place)
    extract(place / "dist/pair.cspkg", "jobs", tmp_path / "role")
    root = tmp_path / "role" / "approot"
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    environ = {"PATH": str(nothing), "HOME": str(tmp_path / "home"), "PIP_CONFIG_FILE": os.devnull}

    def cut_off(*words: str | Path) -> str:
        argv = [shutil.which("unshare"), *CUT_OFF[1:], *map(str, words)]
        done = subprocess.run(argv, env=environ, cwd=root, capture_output=True, text=True, check=False, timeout=LIMIT)
        assert done.returncode == 0, done.stderr
        return done.stdout

    cut_off(sys.executable, "-m", "venv", tmp_path / "env")
    python = tmp_path / "env/bin/python"
    offline = ["--no-index", "--find-links", "wheelhouse", "--only-binary", ":all:", "--require-hashes"]
    cut_off(python, "-m", "pip", "install", *offline, "-r", "requirements.lock")
    assert cut_off(python, "-c", "import main, tobuild; print(main.VERSION, tobuild.VERSION)") == "1.0 1.0\n"


def test_the_bundle_runs_with_its_own_wheels(place, rolepack, index, tmp_path):
    rolepack.ok("package", cwd=place)
    shutil.rmtree(place / "roles")
    shutil.rmtree(index.root / "main")
    told = rolepack.ok("emulate", "--package", "dist/pair.cspkg", "--role", "jobs", "--detach", cwd=place)
    assert "1 instance Ready" in told
    environments = place / ".rolepack/environments/jobs"
    (python,) = environments.glob("*/bin/python")
    code = "import main, tobuild; print(main.VERSION, tobuild.VERSION)"
    assert subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout == "1.0 1.0\n"
    log = until(lambda: rolepack.ok("logs", "--instance", "jobs_IN_0", cwd=place))
    assert "jobs_IN_0" in log


def test_a_bundle_runs_where_there_is_no_service(shop, rolepack, tmp_path):
    rolepack.ok("package", "--output", tmp_path / "alone" / "shop.cspkg", cwd=shop)
    place = tmp_path / "alone"
    shutil.rmtree(shop)
    definition = place / "ServiceDefinition.csdef"
    told = rolepack.ok("emulate", "--package", "shop.cspkg", "--detach", cwd=place)
    url = told.partition("web/Endpoint1 is at ")[2].partition("\n")[0]
    assert b"web_IN_0" in get(url)
    assert not definition.exists()
    assert "2 instances Ready. Next: rolepack status --service" in told
    service = told.partition("--service ")[2].partition(",")[0].strip()
    rolepack.ok("stop", "--service", service, cwd=place)


def test_a_role_that_cannot_run_here_is_left_out_and_told(place, rolepack, index, tmp_path):
    index.add(make_wheel(tmp_path / "made", "winonly", "1.0", "py3-none-win_amd64"))
    (place / "roles/web/requirements.txt").write_text("winonly\n")
    rolepack.ok("package", cwd=place)
    told = rolepack.ok("emulate", "--package", "dist/pair.cspkg", "--detach", cwd=place)
    assert "web is left out, since this system cannot have its packages: " in told
    assert "roles/web/requirements.lock" in told
    assert "winonly" in told
    assert [one["name"] for one in rolepack.status(place)["instances"]] == ["jobs_IN_0"]


def test_every_role_may_have_its_python_and_its_file(place, rolepack):
    (place / "roles/web/runtime.txt").write_text("python-3.11.9\n")
    (place / "roles/jobs/.python-version").write_text("# why\n3.13\n")
    (place / "roles/jobs/needs.txt").write_text("main\n")
    (place / "invoke.yaml").write_text("requirements:\n  jobs: needs.txt\n")
    made = json.loads(rolepack.ok("package", "--json", cwd=place))
    assert made["targets"]["web"] == {"platform": "win_amd64", "python": "3.11.9"}
    assert made["targets"]["jobs"]["python"].startswith("3.13.")
    assert made["roles"]["jobs"] == ["main-1.0-py3-none-any.whl"]
    assert (place / "roles/jobs/needs.win_amd64-cp313.lock").is_file()
    (place / "roles/web/runtime.txt").write_text("java\n")
    (place / "invoke.yaml").write_text("requirements: ../x\n")
    assert "requirements is '../x', which leads out of the role's folder" in rolepack.refused("package", cwd=place)
    (place / "invoke.yaml").write_text("requirements: nothere.txt\n")
    told = rolepack.refused("package", cwd=place)
    assert "roles/web/runtime.txt:1: 'java' is no version of CPython 3. Write it as 3.12" in told
    assert "roles/jobs/nothere.txt: there is no such file, and requirements in invoke.yaml names it" in told


def test_a_project_that_does_not_allow_the_python_of_the_target_is_refused(place, rolepack):
    (place / "roles/jobs/requirements.txt").unlink()
    project = place / "roles/jobs/pyproject.toml"
    project.write_text('[project]\nname = "x"\nversion = "0"\nrequires-python = ">=3.14"\ndependencies = ["main"]\n')
    told = rolepack.refused("package", cwd=place)
    assert (
        "pyproject.toml: requires-python is '>=3.14', and the target has Python 3.12.10. Correct it, or choose" in told
    )
    assert "wheels" in rolepack.ok("package", "--python", "3.14", cwd=place)
    project.write_text(project.read_text().replace(">=3.14", "three"))
    assert "requires-python is 'three', which is no range" in rolepack.refused("package", cwd=place)


def test_locks_are_written_told_and_renewed(place, rolepack, index, tmp_path):
    told = rolepack.ok("lock", cwd=place)
    assert "Wrote roles/web/requirements.win_amd64-cp312.lock with 3 packages.\n" in told
    assert rolepack.ok("lock", cwd=place) == "Nothing is new for web, jobs.\n"
    index.add(make_wheel(tmp_path / "made", "main", "2.0"))
    index.add(make_wheel(tmp_path / "made", "wfastcgi", "4.0"))
    assert rolepack.ok("lock", cwd=place) == "Nothing is new for web, jobs.\n"
    told = rolepack.ok("lock", "--upgrade", "Main", cwd=place)
    assert "roles/web/requirements.win_amd64-cp312.lock with 3 packages: main 1.0 -> 2.0.\n" in told
    assert "there" not in told
    changed = json.loads(rolepack.ok("lock", "--upgrade", "--json", cwd=place))
    assert changed["web"]["changes"] == ["wfastcgi 3.0.0 -> 4.0"]
    assert not changed["jobs"]["changed"]
    assert "no role has a package 'nowhere'" in rolepack.refused("lock", "--upgrade", "nowhere", cwd=place)


def test_wheels_alone_are_linked_into_one_folder(place, rolepack):
    told = rolepack.ok("wheels", cwd=place)
    assert "dist/wheelhouse/ has 3 wheels for web, jobs, and a lock for each role.\n" in told
    folder = place / "dist/wheelhouse"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *(".rolepack-wheels", "jobs.lock", "web.lock"),
        "main-1.0-py3-none-any.whl",
        "tobuild-1.0-py3-none-any.whl",
        "wfastcgi-3.0.0-py3-none-any.whl",
    }
    assert (folder / "main-1.0-py3-none-any.whl").stat().st_nlink == 2
    (folder / "main-1.0-py3-none-any.whl").unlink()
    (folder / "mine-1.0-py3-none-any.whl").touch()
    (place / "roles/web/requirements.txt").write_text("main\n")
    (place / "roles/jobs/requirements.txt").write_text("main\n")
    rolepack.ok("wheels", "--offline", cwd=place)
    assert {path.name for path in folder.iterdir()} == names - {"tobuild-1.0-py3-none-any.whl"} | {
        "mine-1.0-py3-none-any.whl"
    }


def test_wheels_in_a_folder_of_the_users_leave_what_is_there(place, rolepack):
    shutil.copy(place / "roles/web/requirements.txt", place / "poetry.lock")
    make_wheel(place, "own", "1.0")
    rolepack.ok("wheels", "--output", ".", cwd=place)
    assert (place / "poetry.lock").is_file()
    assert (place / "own-1.0-py3-none-any.whl").is_file()


def test_two_wheels_of_one_name_do_not_share_a_folder(place, rolepack):
    make_wheel(place / "roles/jobs/wheels", "main", "1.0", requires=("tobuild",))
    assert "the roles have different wheels of that name" in rolepack.refused("wheels", cwd=place)
    rolepack.ok("package", cwd=place)


def test_without_a_python_of_that_version_the_host_is_no_target(place, rolepack):
    told = rolepack.refused("package", "--target", "host", "--python", "3.99", cwd=place)
    assert "--target host: this machine has no Python 3.99. Install it.\n" in told


def test_a_project_beside_the_roles_is_packaged_and_emulated(place, rolepack, tmp_path):
    make_project(place / "libs" / "near", "near", "1.0")
    (place / "roles/jobs/requirements.txt").write_text("-e ../../libs/near\n")
    made = json.loads(rolepack.ok("package", "--json", cwd=place))
    assert made["roles"]["jobs"] == ["near-1.0-py3-none-any.whl"]
    rolepack.ok("emulate", "--role", "jobs", "--detach", cwd=place)
    environments = place / ".rolepack/environments/jobs"
    (first,) = environments.glob("*/bin/python")
    rolepack.ok("stop", cwd=place)
    (place / "libs/near/near.py").write_text("VERSION = 'edited'\n")
    rolepack.ok("emulate", "--role", "jobs", "--detach", cwd=place)
    (second,) = environments.glob("*/bin/python")
    assert first != second
    done = subprocess.run(
        [second, "-c", "import near; print(near.VERSION)"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "edited\n"


def test_what_the_target_refuses_the_emulator_refuses_too(place, rolepack, index, tmp_path):
    index.add(make_sdist(tmp_path / "made", "native", "1.0", "cp311-cp311-linux_x86_64"))
    (place / "roles/jobs/requirements.txt").write_text("native\n")
    told = rolepack.refused("emulate", "--role", "jobs", "--detach", cwd=place)
    assert "roles/jobs/requirements.txt:1: native 1.0 cannot be bundled for Windows x64" in told


def test_an_output_that_is_no_bundle_or_lies_in_a_role_is_refused(place, rolepack):
    notes = place / "notes.txt"
    notes.write_text("mine")
    assert "'notes.txt' is no name for a bundle. End it in .cspkg" in rolepack.refused(
        "package", "--output", "notes.txt", cwd=place
    )
    assert notes.read_text() == "mine"
    told = rolepack.refused("package", "--output", "roles/web/x.cspkg", cwd=place)
    assert "lies in the folder of role 'web', so that the next bundle would have it" in told


def test_a_refused_bundle_leaves_the_one_that_runs_alone(place, rolepack, tmp_path):
    rolepack.ok("package", cwd=place)
    rolepack.ok("emulate", "--package", "dist/pair.cspkg", "--role", "jobs", "--detach", cwd=place)
    (root,) = (path for path in (place / ".rolepack/packages").iterdir() if path.is_dir())
    (place / "roles/web/lib/extra.py").write_text("WORD = 'other'\n")
    rolepack.ok("package", cwd=place)
    assert "runs already" in rolepack.refused("emulate", "--package", "dist/pair.cspkg", cwd=place)
    assert (root / "roles/jobs/worker.py").is_file()


def test_four_that_unpack_one_bundle_have_the_same_folder(place, rolepack, tmp_path):
    rolepack.ok("package", cwd=place)
    configuration = place / "ServiceConfiguration.Local.cscfg"
    file = place / "dist/pair.cspkg"
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: unpacked.unpack(file, tmp_path / "x", configuration, quiet), range(4)))
    assert len(set(made)) == 1
    assert (made[0] / "roles/jobs/worker.py").is_file()


@pytest.mark.parametrize("name", [path.name for path in sorted(SERVICES.iterdir()) if path.is_dir()])
def test_a_service_comes_back_from_its_bundle(service, tmp_path, monkeypatch, name):
    """What the fabric, and the emulator, know of it."""
    monkeypatch.setenv("ProgramFiles", str(tmp_path))
    (tmp_path / "tools").mkdir()
    place = service(name)
    where = next(place.rglob("*.csdef")).parent
    loaded = [one for one in folder.check(where, TODAY).services if folder.configurations(where)]
    if not loaded or len(bundle.left_out(loaded[0])) == len(loaded[0].roles):
        return  # a service that is wrong on purpose, or that has nothing to package
    first = loaded[0]
    path = tmp_path / "x.cspkg"
    bundle.write(path, bundle.plan(where, first, Wheelhouse({})), quiet)
    opened.verify(path, quiet)
    configuration = folder.configuration_file(where, first.configuration)
    again = folder.load(unpacked.unpack(path, tmp_path / "u", configuration, quiet), first.configuration)
    there = [role for role in first.roles if role.name not in bundle.left_out(first)]
    assert [role.name for role in again.roles] == [role.name for role in there]
    for old, new in zip(there, again.roles, strict=True):
        for field in ("kind", "vmsize", "tasks", "environment", "entry_point", "imports", "execution_context"):
            assert getattr(new, field) == getattr(old, field), field
        assert set(new.settings) == set(old.settings)
        assert {one.name: one.kind for one in new.endpoints} == {one.name: one.kind for one in old.endpoints}
        assert {one._replace(ports=()) for one in new.endpoints if one.kind == "input"} == {
            one._replace(ports=()) for one in old.endpoints if one.kind == "input"
        }
        assert set(new.certificates) == set(old.certificates)
        assert {*old.local_storage} <= {*new.local_storage}
        assert [(one.name, one.bindings) for one in new.sites] == [(one.name, one.bindings) for one in old.sites]
    assert (again.probes, again.update_domains) == (first.probes, first.update_domains)
    assert len(again.traffic_rules) <= len(first.traffic_rules)
    for role in there:
        assert again.configured[role.name] == first.configured[role.name]
