"""Locks: nothing that an index does changes what a role gets, and nothing of a machine or a host is in them."""

import platform
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import uv
from conftest import Index, make_project, make_sdist, make_wheel

from cloudservice.errors import ServiceError
from packager import locks, projects, requirements, store, target, wheelhouse
from packager.policy import KEEP, Need, Policy

WINDOWS = target.parse("win_amd64", "3.12")
RENEW = Policy(upgrade=None)


@pytest.fixture(autouse=True)
def _empty_store(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))


class Role:
    """A role's folder and what it asks for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.remarks: tuple[str, ...] = ()

    def asks(self, text: str, name: str = "requirements.txt") -> "Role":
        (self.folder / name).write_text(text)
        self.path = self.folder / name
        return self

    def gets(self, policy: Policy = KEEP, on: target.Target = WINDOWS) -> dict[str, str]:
        """Prepare, keep the lock, and return the versions."""
        need = Need(requirements.read(self.path), on)
        house = wheelhouse.prepare({"web": need}, lambda *_: None, policy)
        locks.write(need.asked, house.roles["web"], "web")
        self.remarks, self.lock = house.remarks, house.roles["web"]
        for wheel in house.wheels_of("web") if policy.wheels else ():
            assert wheel.path.is_file()
        return self.lock.versions

    @property
    def text(self) -> str:
        """The one lock that is kept."""
        (path,) = self.folder.glob("*.lock")
        return path.read_text()


@pytest.fixture
def role(tmp_path) -> Role:
    return Role(tmp_path / "roles" / "web")


@pytest.fixture
def shelf(tmp_path, index):
    """Puts wheels on the index."""

    def put(name: str, version: str, tag: str = "py3-none-any", requires: tuple[str, ...] = ()) -> Path:
        return index.add(make_wheel(tmp_path / "made", name, version, tag, requires))

    return put


def test_a_release_changes_nothing_until_the_lock_is_renewed(role, shelf):
    shelf("main", "1.0", requires=("other",))
    shelf("other", "1.0")
    role.asks("main\n")
    assert role.gets() == {"main": "1.0", "other": "1.0"}
    before = role.text
    shelf("main", "2.0", requires=("other",))
    shelf("other", "2.0")
    assert role.gets() == {"main": "1.0", "other": "1.0"}
    assert role.text == before
    assert role.gets(Policy(upgrade=("other",))) == {"main": "1.0", "other": "2.0"}
    assert role.gets(RENEW) == {"main": "2.0", "other": "2.0"}


def test_a_new_requirement_leaves_the_versions_of_the_others(role, shelf):
    shelf("main", "1.0")
    role.asks("main\n").gets()
    shelf("main", "2.0")
    shelf("more", "1.0")
    assert role.asks("main\nmore\n").gets() == {"main": "1.0", "more": "1.0"}
    assert role.asks("main>1\nmore\n").gets() == {"main": "2.0", "more": "1.0"}
    assert role.asks("more\n").gets() == {"more": "1.0"}


def test_the_lock_names_file_and_hash_and_no_place(role, shelf, tmp_path):
    wheel = shelf("main", "1.0")
    role.asks("main\n").gets()
    _, python, _, entry = role.text.splitlines()
    assert python == "# python 3.12.10 win_amd64"
    assert entry == f"main==1.0 --hash=sha256:{requirements.sha256_of(wheel)}  # {wheel.name}"
    assert str(tmp_path) not in role.text
    assert (role.folder / "requirements.win_amd64-cp312.lock").is_file()
    assert (role.folder / "requirements.win_amd64-cp312.lock").stat().st_mode & 0o777 == 0o644


def test_another_store_gets_the_very_files_of_the_lock(role, shelf, monkeypatch, tmp_path):
    shelf("main", "1.0")
    role.asks("main\n").gets()
    before = role.text
    shelf("main", "1.0", "cp312-cp312-win_amd64")  # a better one, later
    shelf("main", "3.0")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    assert role.gets() == {"main": "1.0"}
    assert role.text == before


def test_a_file_that_the_index_has_replaced_is_not_taken(role, shelf, monkeypatch, tmp_path, index):
    wheel = shelf("main", "1.0")
    role.asks("main\n").gets()
    shutil.rmtree(index.root / "main")
    make_wheel(tmp_path / "made", "main", "1.0", requires=("evil",))
    index.add(wheel)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    with pytest.raises(ServiceError, match=r"txt:1: the lock names main-1.0-py3-none-any.whl with .* nowhere"):
        role.gets()


def test_offline_works_from_the_store_and_says_what_it_lacks(role, shelf, index, monkeypatch, tmp_path):
    shelf("main", "1.0")
    role.asks("main\n").gets()
    shutil.rmtree(index.root)
    shutil.rmtree(tmp_path / "uv")
    assert role.gets(Policy(offline=True)) == {"main": "1.0"}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    with pytest.raises(
        ServiceError, match=r"the local store lacks what is asked for, and no network is to be used. Run once"
    ):
        role.gets(Policy(offline=True))


def test_a_line_that_nobody_writes_is_told_with_its_number(role, shelf):
    shelf("main", "1.0")
    role.asks("main\n").gets()
    path = role.folder / "requirements.win_amd64-cp312.lock"
    text = path.read_text()
    path.write_text(f"{text}what\nother==1.0\n")
    with pytest.raises(ServiceError) as raised:
        role.gets()
    assert [fault.line for fault in raised.value.faults] == [5, 6]
    path.write_text(f"{text}<<<<<<< mine\nother==1.0\n=======\n>>>>>>> theirs\n")
    with pytest.raises(ServiceError, match=r"lock:5: it has the marks of a merge. Take either side whole") as raised:
        role.gets()
    assert len(raised.value.faults) == 1


@pytest.mark.parametrize("change", [lambda _line: "", lambda line: line.replace("==1.0", "==0.9")])
def test_a_lock_that_was_edited_is_made_again(role, shelf, change):
    shelf("main", "1.0", requires=("other",))
    shelf("other", "1.0")
    role.asks("main\n").gets()
    before = role.text
    path = role.folder / "requirements.win_amd64-cp312.lock"
    last = before.splitlines(keepends=True)[-1]
    path.write_text(before.replace(last, change(last)))
    assert role.gets() == {"main": "1.0", "other": "1.0"}
    assert role.text == before


@pytest.mark.parametrize("wheel", ["../../x.whl", "/x.whl", "a\\b.whl"])
def test_a_lock_that_leads_elsewhere_is_refused(role, shelf, wheel):
    shelf("main", "1.0")
    role.asks("main\n").gets()
    path = role.folder / "requirements.win_amd64-cp312.lock"
    path.write_text(path.read_text().replace("# main-1.0-py3-none-any.whl", f"# {wheel}"))
    with pytest.raises(ServiceError, match="the line is none that rolepack writes"):
        role.gets()


def test_hashes_of_the_user_choose_the_file_and_are_kept_to(role, shelf):
    other = shelf("main", "1.0")
    best = shelf("main", "1.0", "cp312-cp312-win_amd64")
    digests = {wheel: requirements.sha256_of(wheel) for wheel in (other, best)}
    role.asks(f"main==1.0 --hash=sha256:{digests[other]}\n").gets()
    assert role.lock.entries[0].wheel == other.name
    role.asks(f"main==1.0 --hash=sha256:{digests[other]} --hash=sha256:{digests[best]}\n").gets()
    assert role.lock.entries[0].wheel == other.name  # as before, which is still allowed
    role.asks(f"main==1.0 --hash=sha256:{digests[best]}\n").gets()
    assert role.lock.entries[0].wheel == best.name
    with pytest.raises(ServiceError, match=rf"txt:1: main-1.0-.* has the SHA-256 {digests[best]}, and .*{'0' * 64}"):
        role.asks(f"main==1.0 --hash=sha256:{'0' * 64}\n").gets()


def test_all_hashes_are_wanted_where_a_line_says_so(role, shelf, tmp_path, monkeypatch):
    digest = requirements.sha256_of(shelf("main", "1.0", requires=("other",)))
    shelf("other", "1.0")
    with pytest.raises(ServiceError, match=r"other 1.0 has no hash, and --require-hashes asks for one"):
        role.asks(f"--require-hashes\nmain==1.0 --hash=sha256:{digest}\n").gets()
    own = requirements.sha256_of(tmp_path / "made" / "other-1.0-py3-none-any.whl")
    lines = f"--require-hashes\nmain==1.0 --hash=sha256:{digest}\nother==1.0 --hash=sha256:{own}\n"
    assert role.asks(lines).gets() == {"main": "1.0", "other": "1.0"}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    assert role.gets() == {"main": "1.0", "other": "1.0"}


def test_constraints_hold_and_ask_for_nothing(role, shelf):
    for version in ("1.0", "2.0"):
        shelf("main", version)
        shelf("other", version)
    (role.folder / "held.txt").write_text("main<2\nother<2\n")
    assert role.asks("main\n-c held.txt\n").gets() == {"main": "1.0"}


def test_extras_bring_their_packages(role, index, tmp_path):
    index.add(make_wheel(tmp_path / "made", "main", "1.0", requires=('more ; extra == "all"',)))
    index.add(make_wheel(tmp_path / "made", "more", "1.0"))
    assert role.asks("main\n").gets() == {"main": "1.0"}
    assert role.asks("main[all]\n").gets(RENEW) == {"main": "1.0", "more": "1.0"}


def test_the_best_of_several_indexes_is_taken_as_pip_does(role, shelf, tmp_path):
    shelf("main", "1.0")
    more = Index(tmp_path / "more")
    more.add(make_wheel(tmp_path / "made", "main", "2.0"))
    assert role.asks(f"--extra-index-url {more.root.as_uri()}\nmain\n").gets() == {"main": "2.0"}
    assert "more" not in role.text


def test_links_of_the_file_are_looked_at(role, index, tmp_path):
    make_wheel(role.folder / "near", "main", "1.0")
    assert role.asks("--no-index\n--find-links near\nmain\n").gets() == {"main": "1.0"}


def test_an_address_of_a_wheel_leaves_no_address_in_the_lock(role, index, tmp_path):
    wheel = make_wheel(tmp_path / "made", "main", "1.0")
    assert role.asks(f"main @ {wheel.as_uri()}\n").gets() == {"main": "1.0"}
    assert "made" not in role.text
    assert role.asks(f"./{Path('..') / '..' / 'made' / wheel.name}\n").gets() == {"main": "1.0"}


@pytest.mark.parametrize("tag", ["cp312-cp312-manylinux_2_34_x86_64", "cp312-cp312-musllinux_1_2_x86_64"])
def test_a_wheel_that_is_too_new_for_the_targets_libraries_is_refused(role, index, tmp_path, tag):
    wheel = make_wheel(tmp_path / "made", "main", "1.0", tag)
    with pytest.raises(ServiceError, match=rf"txt:1: .*{tag}.whl does not run on Linux x64|no wheels are usable"):
        role.asks(f"main @ {wheel.as_uri()}\n").gets(on=target.parse("manylinux_2_28_x86_64", "3.12"))


def test_the_users_own_wheel_wins_over_the_same_version(role, shelf, tmp_path):
    shelf("main", "1.0", "cp312-cp312-win_amd64")
    own = make_wheel(role.folder / "wheels", "main", "1.0", requires=("other",))
    shelf("other", "1.0")
    role.asks("main\n").gets()
    assert role.lock.entries[0].sha256 == requirements.sha256_of(own)


def test_wheels_alone_are_all_installed_with_what_they_need(role, shelf):
    make_wheel(role.folder / "wheels", "main", "1.0", "cp312-cp312-win_amd64", ("other",))
    make_wheel(role.folder / "wheels", "main", "1.0", "cp312-cp312-manylinux_2_28_x86_64")
    make_wheel(role.folder / "wheels", "lone", "1.0")
    shelf("other", "1.0")
    role.path = role.folder / "wheels"
    assert role.gets() == {"lone": "1.0", "main": "1.0", "other": "1.0"}
    assert (role.folder / "wheels.win_amd64-cp312.lock").is_file()


def test_a_project_in_a_folder_becomes_an_ordinary_wheel(role, shelf, tmp_path):
    shelf("other", "1.0")
    project = make_project(tmp_path / "roles" / "near", "near", "1.5", requires=("other",))
    there = sorted(project.rglob("*"))
    assert role.asks("-e ../near\n").gets() == {"near": "1.5", "other": "1.0"}
    assert sorted(project.rglob("*")) == there
    assert "near==1.5  # near-1.5-py3-none-any.whl, built from folder ../near" in role.text.splitlines()
    first, before = role.lock.entries[0].sha256, role.text
    assert role.gets(Policy(offline=True)) == {"near": "1.5", "other": "1.0"}
    (project / "near.py").write_text("VERSION = 'edited'\n")
    role.gets()
    assert role.lock.entries[0].sha256 != first
    assert role.text == before


def git(*words: str | Path, cwd: Path) -> str:
    own = ["-c", "user.name=n", "-c", "user.email=e", "-c", "protocol.file.allow=always"]
    return subprocess.run(["git", *own, *words], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


def test_a_repository_stays_at_its_commit(role, index, tmp_path, monkeypatch):
    place = make_project(tmp_path / "repository" / "inner", "near", "1.5").parent
    git("init", "-q", cwd=place)
    git("add", ".", cwd=place)
    git("commit", "-qm", "first", cwd=place)
    commit = git("rev-parse", "HEAD", cwd=place)
    assert role.asks(f"near @ git+{place.as_uri()}#subdirectory=inner\n").gets() == {"near": "1.5"}
    assert f"built from commit {commit} in inner with tiny==1.0" in role.text
    assert "repository" not in role.text
    before = role.text
    make_project(place / "inner", "near", "1.6")
    git("commit", "-qam", "second", cwd=place)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    assert role.gets() == {"near": "1.5"}
    assert role.text == before
    assert role.gets(RENEW) == {"near": "1.6"}


def test_a_wheel_of_its_own_is_built_once_and_again_with_the_same_backend(role, index, tmp_path, monkeypatch):
    sdist = index.add(make_sdist(tmp_path / "made", "main", "1.0"))
    assert role.asks("main\n").gets() == {"main": "1.0"}
    (entry,) = role.lock.entries
    assert f"built from {sdist.name} sha256:{requirements.sha256_of(sdist)} with tiny==1.0" in role.text
    assert not store.has(entry.sha256, "else.whl")
    shutil.rmtree(tmp_path / "uv")
    assert role.gets(Policy(offline=True)) == {"main": "1.0"}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    assert role.gets() == {"main": "1.0"}
    assert role.lock.entries == (entry,)
    assert role.remarks == ()


def test_a_wheel_that_comes_out_otherwise_is_told(role, index, tmp_path, monkeypatch):
    index.add(make_sdist(tmp_path / "made", "main", "1.0"))
    role.asks("main\n").gets()
    (entry,) = role.lock.entries
    elsewhere = replace(role.lock, entries=(replace(entry, sha256="0" * 64),))
    locks.write(requirements.read(role.path), elsewhere, "web")
    role.gets()
    assert "main-1.0-py3-none-any.whl was built again, and not to the same bytes as before" in role.remarks[0]


def test_an_older_version_with_a_wheel_stands_in_for_one_that_cannot_be_built(role, index, tmp_path):
    index.add(make_wheel(tmp_path / "made", "native", "1.0", "cp312-cp312-win_amd64"))
    index.add(make_sdist(tmp_path / "made", "native", "2.0", "cp311-cp311-linux_x86_64"))
    assert role.asks("native\n").gets() == {"native": "1.0"}
    assert role.remarks == ("web: native 1.0 instead of 2.0, which has no wheel for it",)
    with pytest.raises(ServiceError, match=r"txt:1: native 2.0 cannot be bundled for Windows x64"):
        role.asks("native==2.0\n").gets()


def test_a_refusal_names_the_line_through_which_a_package_came(role, shelf, index, tmp_path):
    shelf("main", "1.0", requires=("middle",))
    shelf("middle", "1.0", requires=("native",))
    index.add(make_sdist(tmp_path / "made", "native", "2.0", "cp311-cp311-linux_x86_64"))
    with pytest.raises(ServiceError, match=r"txt:2: native 2.0, which main needs, cannot be bundled"):
        role.asks("# why\nmain\n").gets()


def test_an_optional_compiled_part_is_left_out_for_windows(role, index, tmp_path):
    sdist = make_sdist(tmp_path / "made", "both", "1.0", "cp311-cp311-linux_x86_64", without_compiler="py3-none-any")
    index.add(sdist)
    role.asks("both\n").gets()
    assert role.lock.entries[0].wheel == "both-1.0-py3-none-any.whl"
    assert role.remarks == ("web: both==1.0 goes without its compiled part, which had to be left out",)


def test_a_pylock_is_taken_as_it_is(role, shelf, tmp_path):
    lock = tmp_path / "pylock.toml"
    lines = []
    for name, marker in (
        ("main", ""),
        ("wincolour", "sys_platform == 'win32'"),
        ("nixcolour", "sys_platform == 'linux'"),
    ):
        wheel = make_wheel(role.folder / "files", name, "1.0")
        lines += [
            "[[packages]]",
            f'name = "{name}"',
            'version = "1.0"',
            *([f'marker = "{marker}"'] if marker else []),
            f'wheels = [{{ path = "files/{wheel.name}", hashes = {{ sha256 = "{requirements.sha256_of(wheel)}" }} }}]',
        ]
    text = "\n".join(['lock-version = "1.0"', 'created-by = "by hand"', *lines, ""])
    assert role.asks(text, "pylock.toml").gets() == {"main": "1.0", "wincolour": "1.0"}
    lock = role.folder / "pylock.win_amd64-cp312.lock"
    assert lock.is_file()
    with pytest.raises(ServiceError, match=r"pylock.toml: it is no pylock"):
        role.asks(text.replace("lock-version", "lock"), "pylock.toml").gets()


def test_a_uv_lock_gives_the_versions_for_the_target(role, shelf, index):
    for version in ("1.0", "2.0"):
        shelf("main", version, requires=('wincolour ; sys_platform == "win32"',))
    shelf("wincolour", "1.0")
    shelf("onlytests", "1.0")
    (role.folder / "pyproject.toml").write_text(
        '[project]\nname = "site"\nversion = "0"\nrequires-python = ">=3.11"\ndependencies = ["main<2"]\n'
        '[dependency-groups]\ndev = ["onlytests"]\n'
    )
    subprocess.run(
        [uv.find_uv_bin(), "lock", "--default-index", index.root.as_uri()],
        cwd=role.folder,
        check=True,
        capture_output=True,
    )
    role.path = role.folder / "uv.lock"
    shelf("main", "1.5", requires=())
    assert role.gets() == {"main": "1.0", "wincolour": "1.0"}
    project = role.folder / "pyproject.toml"
    text = project.read_text()
    project.write_text(text.replace(">=3.11", ">=3.12"))
    lock = role.folder / "uv.lock"
    lock.write_text(lock.read_text().replace(">=3.11", ">=3.12"))
    assert role.gets(RENEW) == {"main": "1.0", "wincolour": "1.0"}
    lock.write_text(lock.read_text().replace(">=3.12", ">=3.11"))
    project.write_text(text.replace("main<2", "main<2,>1"))
    with pytest.raises(
        ServiceError, match=r"uv.lock: it does not fit the pyproject.toml beside it any more. Run `uv lock`"
    ):
        role.gets(RENEW)


def test_roles_may_be_for_different_pythons(role, shelf):
    for tag in ("cp311-cp311-win_amd64", "cp312-cp312-win_amd64"):
        shelf("main", "1.0", tag)
    role.asks("main\n").gets(on=target.parse("win_amd64", "3.11"))
    assert role.lock.entries[0].wheel == "main-1.0-cp311-cp311-win_amd64.whl"
    role.gets()
    assert role.lock.entries[0].wheel == "main-1.0-cp312-cp312-win_amd64.whl"
    assert sorted(path.name for path in role.folder.glob("*.lock")) == [
        "requirements.win_amd64-cp311.lock",
        "requirements.win_amd64-cp312.lock",
    ]


def test_this_machine_gets_the_versions_of_the_target_where_it_can(role, shelf):
    shelf("main", "1.0")
    shelf("nixonly", "1.0", "py3-none-linux_x86_64")
    role.asks('main\nnixonly ; sys_platform == "linux"\n').gets()
    shelf("main", "2.0")
    here = target.nearest_here("3.11")
    asked = requirements.read(role.path)
    held = locks.elsewhere(asked, here)
    assert held == {"main": "1.0"}
    house = wheelhouse.prepare({"web": Need(asked, here, held)}, lambda *_: None)
    assert house.roles["web"].versions == {"main": "1.0", "nixonly": "1.0"}
    assert house.remarks == ()
    shelf("main", "3.0", "py3-none-linux_x86_64")
    role.asks('main>2\nnixonly ; sys_platform == "linux"\n')
    house = wheelhouse.prepare({"web": Need(requirements.read(role.path), here, held)}, lambda *_: None)
    assert house.remarks == ("web: main 3.0 here, 1.0 on the target",)


def test_hashes_count_for_files_without_a_name_and_of_every_kind(role, index, tmp_path):
    make_wheel(role.folder, "main", "1.0")
    line = "./main-1.0-py3-none-any.whl --hash=sha256:"
    with pytest.raises(ServiceError, match=r"txt:1: main-1.0-py3-none-any.whl has the SHA-256"):
        role.asks(f"{line}{'0' * 64}\n").gets()
    digest = requirements.sha256_of(role.folder / "main-1.0-py3-none-any.whl")
    assert role.asks(f"{line}{digest}\n").gets() == {"main": "1.0"}
    with pytest.raises(ServiceError, match=r"txt:1: none of its hashes is a SHA-256"):
        role.asks(f"main==1.0 --hash=sha512:{'0' * 128}\n").gets()


def test_an_edited_lock_does_not_outdo_the_hash_of_a_line(role, shelf):
    asked, other = shelf("main", "1.0"), shelf("main", "1.0", "cp312-cp312-win_amd64")
    role.asks("main\n").gets(RENEW)
    assert role.lock.entries[0].wheel == other.name
    role.asks(f"main --hash=sha256:{requirements.sha256_of(asked)}\n").gets()
    path = role.folder / "requirements.win_amd64-cp312.lock"
    digests = map(requirements.sha256_of, (asked, other))
    path.write_text(path.read_text().replace(*digests).replace(asked.name, other.name))
    role.gets()
    assert role.lock.entries[0].wheel == asked.name


def test_a_lock_holds_in_another_checkout(role, shelf, tmp_path):
    make_wheel(role.folder / "near", "main", "1.0")
    role.asks("--find-links near\nmain\n").gets()
    before = role.text
    moved = shutil.copytree(role.folder, tmp_path / "elsewhere" / "web")
    other = Role.__new__(Role)
    other.folder, other.path = moved, moved / "requirements.txt"
    other.gets(Policy(offline=True))
    assert other.text == before


def test_a_variable_in_a_requirement_counts(role, shelf, monkeypatch):
    for version in ("1.0", "2.0"):
        shelf("main", version)
    role.asks("main==${VERSION}\n")
    for version in ("1.0", "2.0"):
        monkeypatch.setenv("VERSION", version)
        assert role.gets() == {"main": version}


def test_addresses_for_another_target_do_not_hide_the_one_for_this(role, shelf, tmp_path, monkeypatch):
    shelf("main", "1.0")
    other = make_wheel(tmp_path / "linux", "main", "2.0")
    lines = f"main @ {other.as_uri()} ; sys_platform == 'linux'\nmain==1.0 ; sys_platform == 'win32'\n"
    assert role.asks(lines).gets() == {"main": "1.0"}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    assert role.gets() == {"main": "1.0"}


def test_a_new_version_is_not_built_with_the_backend_of_the_old(role, index, tmp_path):
    index.add(make_sdist(tmp_path / "made", "main", "1.0"))
    role.asks("main\n").gets()
    path = role.folder / "requirements.win_amd64-cp312.lock"
    (entry,) = role.lock.entries
    locks.write(requirements.read(role.path), replace(role.lock, entries=(replace(entry, using="tiny==9"),)), "web")
    assert "tiny==9" in path.read_text()
    index.add(make_sdist(tmp_path / "made", "main", "2.0"))
    assert role.gets(RENEW) == {"main": "2.0"}


def test_a_tag_of_a_project_gives_another_wheel(role, index, tmp_path):
    project = make_project(tmp_path / "roles" / "near", "near", "1.0")
    git("init", "-q", cwd=project)
    git("add", ".", cwd=project)
    git("commit", "-qm", "first", cwd=project)
    before = projects.digest(project)
    git("tag", "v2", cwd=project)
    assert projects.digest(project) != before


def test_a_project_that_only_its_build_knows_is_asked_again_after_any_edit(role, shelf, tmp_path):
    project = make_project(tmp_path / "roles" / "near", "near", "1.0")
    toml = project / "pyproject.toml"
    toml.write_text(toml.read_text().replace("dependencies = []", "dynamic = ['dependencies']"))
    shelf("other", "1.0")
    role.asks("../near\n").gets()
    there = sorted(project.rglob("*"))
    (project / "PKG-INFO").write_text((project / "PKG-INFO").read_text() + "Requires-Dist: other\n")
    assert role.gets() == {"near": "1.0", "other": "1.0"}
    assert sorted(project.rglob("*")) == there


def test_a_commit_that_may_move_is_refused(role, tmp_path):
    text = (
        'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "main"\nversion = "1.0"\n'
        'vcs = { type = "git", url = "file:///nowhere", commit-id = "main" }\n'
    )
    with pytest.raises(ServiceError, match="main is at the commit 'main', which is no full hash"):
        role.asks(text, "pylock.toml").gets()


@pytest.mark.parametrize("text", ["packages = 'x'", "[[packages]]\nversion = '1'", "lock-version = 3"])
def test_a_pylock_made_by_hand_is_told(role, text):
    head = "" if text.startswith("lock") else 'lock-version = "1.0"\ncreated-by = "x"\n'
    with pytest.raises(ServiceError, match=r"pylock.toml: it is no pylock"):
        role.asks(f"{head}{text}\n", "pylock.toml").gets()


def test_sources_that_only_uv_knows_are_not_passed_over(role):
    text = (
        '[project]\nname = "x"\nversion = "0"\ndependencies = ["near"]\n[tool.uv.sources]\nnear = {path = "../near"}\n'
    )
    with pytest.raises(ServiceError, match=r"\[tool.uv.sources\] says where its packages come from"):
        role.asks(text, "pyproject.toml").gets()


def test_an_sdist_with_a_blank_in_its_name_is_locked_and_read_again(role, index, tmp_path):
    made = make_sdist(tmp_path / "made", "main", "1.0")
    odd = made.rename(made.with_name("main 1.0.tar.gz"))
    role.asks(f"main @ {odd.as_uri()}\n").gets()
    assert role.gets() == {"main": "1.0"}


@pytest.fixture
def native(tmp_path):
    """The sdist of an extension in C that needs a library of its own, which no system has."""
    place = tmp_path / "native-1.0"
    place.mkdir()
    (place / "own.c").write_text("int answer(void) { return 42; }\n")
    library = place / "libownanswer.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, place / "own.c"], check=True)
    (place / "native.c").write_text(
        "#include <Python.h>\nint answer(void);\n"
        "static PyObject *ask(PyObject *self, PyObject *none) { return PyLong_FromLong(answer()); }\n"
        'static PyMethodDef methods[] = {{"ask", ask, METH_NOARGS, 0}, {0}};\n'
        'static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "native", 0, -1, methods};\n'
        "PyMODINIT_FUNC PyInit_native(void) { return PyModule_Create(&module); }\n"
    )
    (place / "setup.py").write_text(
        "from setuptools import Extension, setup\n"
        "setup(name='native', version='1.0', ext_modules=[Extension('native', ['native.c'], "
        f"libraries=['ownanswer'], library_dirs=[{str(place)!r}], runtime_library_dirs=[{str(place)!r}])])\n"
    )
    (place / "PKG-INFO").write_text("Metadata-Version: 2.2\nName: native\nVersion: 1.0\n")
    (place / "pyproject.toml").write_text("[build-system]\nrequires = ['setuptools']\n")
    return place


@pytest.mark.network
def test_a_wheel_for_linux_brings_the_libraries_that_it_needs(native, tmp_path, monkeypatch):
    monkeypatch.delenv("UV_CACHE_DIR")
    role = Role(tmp_path / "roles" / "web")
    minor = target.nearest_here("3.11").minor
    role.asks(f"{native}\n").gets(on=target.parse(f"manylinux_2_28_{platform.machine()}", minor))
    (entry,) = role.lock.entries
    assert "manylinux_2_28" in entry.wheel
    into = tmp_path / "installed"
    wheel = store.path_of(entry.sha256, entry.wheel)
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", into, wheel], check=True)
    shutil.rmtree(native)
    code = [sys.executable, "-c", "import native; print(native.ask())"]
    done = subprocess.run(code, cwd=into, capture_output=True, text=True, check=True)
    assert done.stdout == "42\n"


def test_another_index_with_files_for_other_machines_does_not_move_a_version(role, shelf, tmp_path):
    more = Index(tmp_path / "more")
    for version in ("1.0", "2.0"):
        shelf("main", version, "py3-none-win_amd64")
    more.add(make_wheel(tmp_path / "other", "main", "2.0", "py3-none-linux_x86_64"))
    shelf("added", "1.0")
    lines = f"--extra-index-url {more.root.as_uri()}\nmain\n"
    assert role.asks(lines).gets() == {"main": "2.0"}
    assert role.asks(f"{lines}added\n").gets() == {"added": "1.0", "main": "2.0"}
