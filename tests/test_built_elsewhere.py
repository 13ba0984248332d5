"""Wheels that another machine builds: asked for where no build here serves, looked through, kept, and shelved."""

import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import make_project, make_sdist, make_wheel

from cloudservice.errors import ServiceError
from cloudservice.files import sha256_of
from packager import locks, requirements, shelf, store, target, wheelfile, wheelhouse
from packager.policy import KEEP, Need, Policy

WINDOWS = target.parse("win_amd64", "3.12")
HERE = "cp311-cp311-linux_x86_64"
THERE = "cp312-cp312-win_amd64"


@pytest.fixture(autouse=True)
def _empty_store(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))


class Machine:
    """A machine with a compiler: makes the wheel of an sdist, as a zip; `spoil` is what goes wrong there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.orders: list[tuple[Path, target.Target]] = []
        self.requires: tuple[str, ...] = ()
        self.tag = THERE
        self.spoil: Callable[[Path], Path] = lambda wheel: wheel

    def __call__(self, sdist: Path, on: target.Target) -> Path:
        self.orders.append((sdist, on))
        name, version = sdist.name.removesuffix(".tar.gz").split("-")
        return self.spoil(make_wheel(self.folder, name, version, self.tag, self.requires))

    @property
    def built(self) -> list[str]:
        return [sdist.name for sdist, _ in self.orders]


@pytest.fixture
def machine(tmp_path) -> Machine:
    return Machine(tmp_path / "machine")


@pytest.fixture
def native(index, tmp_path) -> Path:
    """The sdist of a package with compiled parts, which has no wheel; one of pure Python is beside it."""
    index.add(make_sdist(tmp_path / "made", "pure", "1.0"))
    return index.add(make_sdist(tmp_path / "made", "native", "2.0", HERE))


class Service:
    """The needs of some roles."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths: dict[str, Path] = {}

    def asks(self, text: str, role: str = "web", name: str = "requirements.txt") -> "Service":
        path = self.root / "roles" / role / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.paths[role] = path
        return self

    def needs(self, on: target.Target = WINDOWS) -> dict[str, Need]:
        return {role: Need(requirements.read(path), on) for role, path in self.paths.items()}

    def gets(self, policy: Policy = KEEP, on: target.Target = WINDOWS) -> dict[str, locks.Lock]:
        """The lock of each role, which is kept; every wheel in it is there."""
        needs = self.needs(on)
        house = wheelhouse.prepare(needs, lambda *_: None, policy)
        assert all(sha256_of(wheel.path) == wheel.sha256 for wheel in house.wheels)
        for role, lock in house.roles.items():
            locks.write(needs[role].asked, lock, role)
        return dict(house.roles)

    def lacks(self, policy: Policy = KEEP, on: target.Target = WINDOWS) -> tuple[wheelhouse.Lacking, ...]:
        return wheelhouse.lacking(self.needs(on), lambda *_: None, policy)

    def refuses(self, policy: Policy = KEEP) -> list[str]:
        """The faults of a service that cannot be had."""
        with pytest.raises(ServiceError) as raised:
            self.gets(policy)
        return list(map(str, raised.value.faults))


@pytest.fixture
def service(tmp_path) -> Service:
    return Service(tmp_path)


def kept() -> set[str]:
    """The files in the store."""
    return {path.name for path in store.location().glob("*/*/*")}


def test_what_no_build_here_serves_is_told_with_its_sdist_and_its_roles(service, native, machine):
    service.asks("native\npure\n").asks("native\n", "jobs").asks("pure\n", "other")
    (found,) = service.lacks(Policy(builder=machine))
    assert machine.orders == []
    assert (found.name, found.version, found.target, found.roles) == ("native", "2.0", WINDOWS, ("web", "jobs"))
    assert found.sdist == store.path_of(sha256_of(native), native.name)
    assert sha256_of(found.sdist) == sha256_of(native)
    assert "pure-1.0-py3-none-any.whl" in kept()
    assert not list(service.root.glob("roles/*/*.lock"))


def test_nothing_lacks_where_there_is_a_wheel_or_the_target_is_no_windows(service, native, index, tmp_path):
    service.asks("native\n")
    assert service.lacks(on=target.parse("manylinux_2_28_aarch64", "3.12")) == ()
    index.add(make_wheel(tmp_path / "made", "native", "2.0", THERE))
    assert service.lacks() == ()


def test_a_project_is_never_built_elsewhere_since_its_wheel_would_stay_as_it_is(service, machine, tmp_path):
    make_project(tmp_path / "roles" / "near", "native", "2.0", HERE)
    service.asks("-e ../near\n")
    assert service.lacks() == ()
    (fault,) = service.refuses(Policy(builder=machine))
    assert "build it on a Windows host, or mark it" in fault
    assert machine.orders == []


def pylock_of(sdist: Path, sha256: str) -> str:
    return (
        'lock-version = "1.0"\ncreated-by = "tests"\n[[packages]]\nname = "native"\nversion = "2.0"\n'
        f'sdist = {{name = "{sdist.name}", url = "{sdist.as_uri()}", hashes = {{sha256 = "{sha256}"}}}}\n'
    )


def test_an_sdist_with_another_hash_than_promised_is_not_sent_anywhere(service, native, machine):
    service.asks(pylock_of(native, "0" * 64), name="pylock.toml")
    with pytest.raises(ServiceError, match=r"native-2.0.tar.gz has the SHA-256"):
        service.lacks()
    assert "native-2.0.tar.gz has the SHA-256" in service.refuses(Policy(builder=machine))[0]
    assert machine.orders == []


def test_a_refusal_names_the_way_out(service, native):
    (fault,) = service.asks("pure\nnative\n").refuses()
    assert "requirements.txt:2: native 2.0 cannot be bundled for Windows x64, CPython 3.12" in fault
    assert "build it on a Windows host with `invoke wheels --build-on HOST`, or mark it ; sys_platform" in fault


def test_what_a_build_here_refuses_is_built_elsewhere_once_for_all_roles(service, native, machine):
    made = service.asks("native\npure\n").asks("native\n", "jobs").gets(Policy(builder=machine))
    assert machine.orders == [(store.path_of(sha256_of(native), native.name), WINDOWS)]
    (entry,) = made["jobs"].entries
    assert entry in made["web"].entries
    assert entry.requirement == f"native==2.0 --hash=sha256:{sha256_of(machine.folder / entry.wheel)}"
    text = (service.root / "roles/jobs/requirements.win_amd64-cp312.lock").read_text()
    assert f"# native-2.0-{THERE}.whl, built from native-2.0.tar.gz sha256:{sha256_of(native)}" in text


def test_the_store_has_it_the_next_time_without_a_lock_and_without_the_machine(service, native, machine):
    service.asks("native\n").gets(Policy(builder=machine))
    (lock,) = service.root.glob("roles/*/*.lock")
    before = lock.read_text()
    service.gets(Policy(offline=True))
    lock.unlink()
    service.gets()
    assert lock.read_text() == before
    other = target.parse("win_amd64", "3.13")
    with pytest.raises(ServiceError, match=r"native 2.0 cannot be bundled for Windows x64, CPython 3.13"):
        service.gets(on=other)


def test_the_machine_comes_before_an_older_version(service, native, machine, index, tmp_path):
    index.add(make_wheel(tmp_path / "made", "native", "1.0", THERE))
    service.asks("native\n")
    assert [one.version for one in service.lacks()] == ["2.0"]
    assert service.gets(Policy(builder=machine))["web"].versions == {"native": "2.0"}


def renamed(old: str, new: str) -> Callable[[Path], Path]:
    return lambda wheel: wheel.rename(wheel.with_name(wheel.name.replace(old, new)))


def rewritten(member: str, change: Callable[[str], str | None]) -> Callable[[Path], Path]:
    """Another text of a file in a wheel, or without that; RECORD stays."""

    def spoil(wheel: Path) -> Path:
        with zipfile.ZipFile(wheel) as file:
            texts = {name: file.read(name).decode() for name in file.namelist()}
        with zipfile.ZipFile(wheel, "w") as file:
            for name, text in texts.items():
                made = change(text) if name.endswith(member) else text
                if made is not None:
                    file.writestr(name, made)
        return wheel

    return spoil


def truncated(wheel: Path) -> Path:
    wheel.write_bytes(wheel.read_bytes()[:-30])
    return wheel


def of_another(name: str, version: str, called: str = "native-2.0") -> Callable[[Path], Path]:
    """Another package, under the name of the one that was ordered."""

    def spoil(wheel: Path) -> Path:
        other = make_wheel(wheel.parent / "other", name, version, THERE)
        return other.rename(other.with_name(f"{called}-{THERE}.whl"))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "wrong"),
    [
        (renamed("native", "other"), "it is other 2.0, and native 2.0 was wanted"),
        (renamed("2.0", "1.9"), "it is native 1.9, and native 2.0 was wanted"),
        (renamed("2.0", "2.0+local"), "it is native 2.0+local, and native 2.0 was wanted"),
        (renamed("win_amd64", "win_arm64"), "it does not run on Windows x64, CPython 3.12"),
        (renamed("cp312", "cp313"), "it does not run on Windows x64, CPython 3.12"),
        (renamed("win_amd64", "linux_x86_64"), "it does not run on Windows x64, CPython 3.12"),
        (renamed(".whl", ".zip"), "Invalid wheel filename"),
        (renamed("-2.0-", "-2.0-1;x-"), "its name has characters that no wheel's name has"),
        (of_another("native", "1.9"), "Missing native-2.0.dist-info/RECORD file"),
        (rewritten("METADATA", lambda text: text + "More: 1\n"), "Hash mismatch for file 'native-2.0.dist-info/METAD"),
        (rewritten("native.py", lambda _: "import os\n"), "Hash mismatch for file 'native.py'"),
        (rewritten("RECORD", lambda text: text.replace("native.py", "else.py")), "No hash found for file 'native.py'"),
        (
            rewritten("RECORD", lambda text: f"elsewhere.pyd,sha256=AA,1\n{text}"),
            "it lacks elsewhere.pyd, which its RE",
        ),
        (rewritten("RECORD", lambda text: text.replace("sha256=", "")), "not enough values to unpack"),
        (rewritten("RECORD", lambda _: "\0\n"), "cannot be taken: "),
        (rewritten("RECORD", lambda _: None), "Missing native-2.0.dist-info/RECORD file"),
        (truncated, "File is not a zip file"),
        (lambda wheel: wheel.with_name(f"native-2.0-py3-none-any{wheel.suffix}"), "No such file"),
    ],
)
def test_a_wheel_that_is_not_what_was_ordered_is_not_taken(service, native, machine, spoil, wrong):
    machine.spoil = spoil
    (fault,) = service.asks("# why\nnative\n").refuses(Policy(builder=machine))
    assert "roles/web/requirements.txt:2: native-2.0.tar.gz was built elsewhere, and what came back, " in fault
    assert wrong in fault
    assert fault.endswith("roles/web/wheels/.")
    assert kept() == {native.name}
    assert "native 2.0 cannot be bundled" in service.refuses()[0]


def test_metadata_of_another_version_under_a_right_record_is_seen(tmp_path):
    wheel = make_wheel(tmp_path, "native", "2.0", THERE)
    assert wheelfile.verify(wheel) == "tests"
    for old, new in (("native-2.0", "native-2.00"), ("native-2.00", "native-2.1"), ("native-2.1", "naive-2.0")):
        wheel = wheel.rename(tmp_path / wheel.name.replace(old, new))
        rewrite_folder(wheel)
        if new == "native-2.00":
            assert wheelfile.verify(wheel) == "tests"
            continue
        with pytest.raises(wheelfile.DamagedError, match=r"its METADATA says that it is native 2.0"):
            wheelfile.verify(wheel)


def rewrite_folder(wheel: Path) -> None:
    """Let the .dist-info of a wheel be called as its file is."""
    called = "-".join(wheel.name.split("-")[:2])
    with zipfile.ZipFile(wheel) as file:
        texts = {name: file.read(name).decode() for name in file.namelist()}
    folder = next(name for name in texts if ".dist-info/" in name).partition(".dist-info")[0]
    with zipfile.ZipFile(wheel, "w") as file:
        for name, text in texts.items():
            made = text.replace(folder, called) if name.endswith("RECORD") else text
            file.writestr(name.replace(folder, called), made)


def test_a_wheel_with_any_byte_changed_is_whole_or_refused(tmp_path):
    wheel = make_wheel(tmp_path, "native", "2.0", THERE)
    with zipfile.ZipFile(wheel) as file:
        right = {name: file.read(name) for name in file.namelist()}
    content = wheel.read_bytes()
    chosen = random.Random(5)  # noqa: S311
    refused = 0
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= chosen.randrange(1, 256)
        wheel.write_bytes(damaged)
        try:
            wheelfile.verify(wheel)
        except wheelfile.DamagedError:
            refused += 1
            continue
        with zipfile.ZipFile(wheel) as file:
            there = {name: file.read(name) for name in file.namelist()}
        assert {name: there[name] for name in right if not name.endswith("RECORD")} == {
            name: text for name, text in right.items() if not name.endswith("RECORD")
        }
    assert refused > len(content) / 2


def test_every_wheel_that_cannot_be_taken_is_told(service, native, machine, index, tmp_path):
    index.add(make_sdist(tmp_path / "made", "crypt", "3.0", HERE))
    machine.tag = HERE
    faults = service.asks("native\ncrypt\n").asks("native\n", "jobs").refuses(Policy(builder=machine))
    assert [fault.partition(": ")[2].split()[0] for fault in faults] == [
        "crypt-3.0.tar.gz",
        "native-2.0.tar.gz",
        "native-2.0.tar.gz",
    ]


def test_what_was_built_in_vain_is_not_built_again_by_the_same_command(service, machine, index, tmp_path, monkeypatch):
    builds = tmp_path / "builds"
    monkeypatch.setenv("BUILDS", str(builds))
    project = make_project(tmp_path / "made" / "native-2.0", "native", "2.0", HERE)
    backend = (project / "tiny.py").read_text()
    counting = backend.replace("    tag =", "    open(os.environ['BUILDS'], 'a').write('x')\n    tag =")
    (project / "tiny.py").write_text(counting)
    packed = shutil.make_archive(str(project), "gztar", project.parent, project.name)
    index.add(Path(packed))
    service.asks("native\n")
    assert [one.name for one in service.lacks()] == ["native"]
    before = builds.read_text()
    assert before
    service.gets(Policy(builder=machine))
    assert machine.built == ["native-2.0.tar.gz"]
    assert builds.read_text() == before


def test_a_shelf_gives_every_checkout_the_wheel_without_the_machine(service, native, machine, monkeypatch, tmp_path):
    service.asks("native\n").asks("native\n", "jobs")
    made = service.gets(Policy(builder=machine))
    shelved = shelf.put(service.needs(), made)
    wheel = f"native-2.0-{THERE}.whl"
    assert shelved == {role: [tmp_path / "roles" / role / "wheels" / wheel] for role in ("web", "jobs")}
    locked = service.gets()
    assert shelf.put(service.needs(), locked) == {}
    assert "built from" not in (tmp_path / "roles/web/requirements.win_amd64-cp312.lock").read_text()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    assert service.lacks() == ()
    assert service.gets() == locked
    shutil.rmtree(tmp_path / "roles/jobs/wheels")
    (fault,) = service.refuses()
    assert "roles/jobs/requirements.txt:1: native 2.0 cannot be bundled" in fault


def test_what_a_wheel_needs_there_counts_once_it_is_on_the_shelf(service, native, machine, index, tmp_path):
    index.add(make_wheel(tmp_path / "made", "other", "1.0"))
    machine.requires = ("other",)
    made = service.asks("native\n").gets(Policy(builder=machine))
    assert made["web"].versions == {"native": "2.0"}
    shelf.put(service.needs(), made)
    assert service.gets()["web"].versions == {"native": "2.0", "other": "1.0"}


def test_only_what_was_built_elsewhere_goes_onto_a_shelf_and_over_nothing(service, native, machine, tmp_path):
    made = service.asks("native\npure\n").gets(Policy(builder=machine))
    own = tmp_path / "roles/web/wheels" / f"native-2.0-{THERE}.whl"
    own.parent.mkdir()
    own.write_bytes(b"my own")
    assert shelf.put(service.needs(), made) == {}
    assert own.read_bytes() == b"my own"
    assert [path.name for path in own.parent.iterdir()] == [own.name]


def test_a_line_that_keeps_to_the_sdist_is_told_with_the_way_out(service, native, machine):
    line = f"native==2.0 --hash=sha256:{sha256_of(native)}"
    made = service.asks(f"{line}\n").gets(Policy(builder=machine))
    shelf.put(service.needs(), made)
    (remark,) = shelf.remarks(service.gets())
    more = f"--hash=sha256:{made['web'].entries[0].sha256}"
    assert remark.startswith("web: native==2.0 is still taken from its sdist")
    assert remark.endswith(f"add {more} to its line")
    settled = service.asks(f"{line} {more}\n").gets()
    assert settled["web"].entries[0].pin.is_wheel
    assert shelf.remarks(settled) == []


def test_an_address_of_an_sdist_takes_the_wheel_from_the_shelf(service, native, machine):
    made = service.asks(f"native @ {native.as_uri()}\n").gets(Policy(builder=machine))
    shelf.put(service.needs(), made)
    assert service.gets()["web"].entries[0].pin.is_wheel


def test_a_pylock_with_an_sdist_takes_the_wheel_from_the_shelf(service, native, machine):
    text = pylock_of(native, sha256_of(native))
    made = service.asks(text, name="pylock.toml").gets(Policy(builder=machine))
    shelf.put(service.needs(), made)
    assert service.gets()["web"].entries[0].pin.is_wheel


def test_the_command_shelves_what_the_store_has_and_asks_no_machine_for_it(rolepack, shop, index, native, machine):
    index.add(make_wheel(machine.folder, "wfastcgi", "3.0.0"))
    for role in ("web", "jobs"):
        (shop / f"roles/{role}/requirements.txt").write_text("native\n" if role == "jobs" else "")
    jobs = shop / "roles/jobs"
    assert "native 2.0 cannot be bundled" in rolepack.refused("package", cwd=shop)
    need = Need(requirements.read(jobs / "requirements.txt"), WINDOWS)
    wheelhouse.prepare({"jobs": need}, lambda *_: None, Policy(builder=machine))
    assert "hosts.yaml: there is no such file" in rolepack.refused("wheels", "--build-on", "nowhere", cwd=shop)
    (shop / "hosts.yaml").write_text("hosts: {nowhere: {address: nowhere.invalid, account: me, roles: [jobs]}}")
    told = rolepack.ok("wheels", "--build-on", "nowhere", cwd=shop)
    assert f"Put native-2.0-{THERE}.whl into roles/jobs/wheels/: commit it" in told
    assert "Nothing had to be built on nowhere.\n" in rolepack.ok("wheels", "--build-on", "nowhere", cwd=shop)
    told = rolepack.ok("package", cwd=shop, XDG_CACHE_HOME=str(shop.parent / "another"))
    assert "Packaged web, jobs with 2 wheels" in told
