"""Environments of this machine: the target's versions, deviations told, made once."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import make_wheel

from cloudservice.errors import ServiceError
from packager import environment, requirements, target
from packager.policy import Need

WINDOWS = target.parse("win_amd64", "3.12")


def quiet(*_):
    pass


def prepare(place: Path, asked: Path) -> environment.Environment:
    return environment.prepare(place, Need(requirements.read(asked), WINDOWS), quiet)


def version_in(made: environment.Environment, module: str) -> str:
    code = f"import {module}; print({module}.VERSION)"
    return subprocess.run([made.python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def asked(tmp_path):
    path = tmp_path / "roles" / "jobs" / "requirements.txt"
    path.parent.mkdir(parents=True)
    return path


def test_the_version_of_the_target_is_taken_here_too(tmp_path, index, asked):
    for version in ("1.0", "2.0"):
        index.add(
            make_wheel(
                tmp_path / "wheels", "both", version, "py3-none-any" if version == "1.0" else "py3-none-linux_x86_64"
            )
        )
    asked.write_text("both\n")
    made = prepare(tmp_path / "env", asked)
    assert version_in(made, "both") == "1.0"
    assert not [line for line in made.deviations if "both" in line]


def test_a_version_that_must_differ_is_told(tmp_path, index, asked):
    index.add(make_wheel(tmp_path / "wheels", "each", "1.0", "py3-none-linux_x86_64"))
    index.add(make_wheel(tmp_path / "wheels", "each", "2.0", "py3-none-win_amd64"))
    asked.write_text("each\n")
    made = prepare(tmp_path / "env", asked)
    assert version_in(made, "each") == "1.0"
    assert "each 1.0 here, 2.0 on the target" in made.deviations


def test_it_is_made_again_only_when_the_requirements_change(tmp_path, index, asked):
    index.add(make_wheel(tmp_path / "wheels", "one", "1.0"))
    included = asked.parent / "more.txt"
    included.write_text("one\n")
    asked.write_text("-r more.txt\n")
    place = tmp_path / "env"
    first = prepare(place, asked)
    marker = first.python.parent / "marker"
    marker.touch()
    assert prepare(place, asked) == first
    assert marker.exists()
    included.write_text("# nothing\n")
    second = prepare(place, asked)
    assert marker.exists(), "something may be running in it"
    environment.prune(place, second.python)
    assert {path.name for path in place.iterdir()} == {second.python.parent.parent.name, ".lock"}


def test_what_cannot_be_installed_leaves_nothing_behind(tmp_path, index, asked):
    asked.write_text("nowhere\n")
    with pytest.raises(ServiceError, match=r"requirements.txt:1: no index has a package 'nowhere'"):
        prepare(tmp_path / "env", asked)
    assert [path.name for path in (tmp_path / "env").iterdir()] == [".lock"]


def test_a_role_without_requirements_has_an_environment_too(tmp_path, asked):
    made = prepare(tmp_path / "env", asked)
    assert Path(made.python).exists()


def test_several_at_once_make_it_once(tmp_path, index, asked):
    index.add(make_wheel(tmp_path / "wheels", "one", "1.0"))
    asked.write_text("one\n")
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: prepare(tmp_path / "env", asked), range(4)))
    assert len(set(made)) == 1
    assert version_in(made[0], "one") == "1.0"


def test_an_environment_whose_interpreter_has_gone_is_made_again(tmp_path, asked):
    first = prepare(tmp_path / "env", asked)
    first.python.unlink()
    first.python.symlink_to("/nowhere/python")
    second = prepare(tmp_path / "env", asked)
    assert subprocess.run([second.python, "-c", ""], check=True).returncode == 0


def test_paths_in_requirements_are_relative_to_the_file(tmp_path, index, asked, monkeypatch):
    wheel = make_wheel(asked.parent, "near", "1.0")
    asked.write_text(f"./{wheel.name}\n")
    monkeypatch.chdir(tmp_path)
    assert version_in(prepare(tmp_path / "env", asked), "near") == "1.0"


def test_an_index_without_a_server_is_told(tmp_path, index, asked, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = prepare(tmp_path / "env", asked)
    with pytest.raises(ServiceError, match="server for ASGI: no index has a package 'granian'"):
        environment.runtime_kit(made.python, quiet)
