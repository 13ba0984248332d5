"""Requirement files as pip reads them: encodings, continuations, inclusion, options; and what stands for one."""

import codecs
from pathlib import Path

import pytest
from conftest import make_wheel

from cloudservice.errors import ServiceError
from packager import requirements, target
from packager.requirements import Asked

WINDOWS = target.parse("win_amd64", "3.12")


def read(folder: Path, text: str | bytes, name: str = "requirements.txt") -> Asked:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return requirements.read(path)


@pytest.mark.parametrize(
    "content",
    [
        "flask\r\nsix\r\n".encode("utf-16"),
        codecs.BOM_UTF16_BE + "flask\nsix".encode("utf-16-be"),
        codecs.BOM_UTF8 + b"flask\nsix\n",
        b"flask\nsix",
        "# caf\u00e9\nflask # the \u00e9lan\n\n  six".encode(),
    ],
)
def test_every_encoding_that_editors_and_powershell_write(tmp_path, content):
    assert [line.name for line in read(tmp_path, content).lines] == ["flask", "six"]


def test_a_file_in_another_encoding_is_told(tmp_path):
    with pytest.raises(ServiceError, match=r"requirements.txt: it is no text in UTF-8 or UTF-16. Save it as UTF-8"):
        read(tmp_path, "# caf\u00e9\nflask\n".encode("latin-1"))


def test_lines_that_go_on_keep_the_number_of_their_first(tmp_path):
    digest = "a" * 64
    asked = read(tmp_path, f"# first\n\nFlask [async] == 3.0 \\\n  --hash=sha256:{digest} \\\n  # via me\nsix\n")
    flask, six = asked.lines
    assert (flask.number, flask.name, flask.hashes) == (3, "flask", {f"sha256:{digest}"})
    assert (six.number, six.hashes) == (6, frozenset())


def test_files_are_included_once_each_relative_to_the_one_that_names_them(tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "base.txt").write_text("six\n-r ../requirements.txt\n--requirement=own.txt\n")
    (tmp_path / "more" / "own.txt").write_text("click\n")
    (tmp_path / "held.txt").write_text("click<9\n")
    asked = read(tmp_path, "flask\n-r more/base.txt\n-r more/base.txt\n-cheld.txt\n-c held.txt\n")
    assert [line.name for line in asked.lines] == ["flask", "six", "click"]
    assert [line.text for line in asked.constraints] == ["click<9"]
    assert asked.line_of("Click").where.endswith("more/own.txt:1")


def test_options_are_told_apart_from_requirements(tmp_path):
    (tmp_path / "near").mkdir()
    text = "-i https://a/\n--extra-index-url=https://b/\n--no-binary lxml\n-f near\n--pre\n--prefer-binary\nflask\n"
    asked = read(tmp_path, text)
    assert [line.name for line in asked.lines] == ["flask"]
    assert asked.values("index-url") == ["https://a/"]
    assert asked.values("extra-index-url") == ["https://b/"]
    assert asked.values("find-links") == [str(tmp_path / "near")]
    assert asked.values("pre") == [""]


def test_variables_of_the_environment_are_filled_in_late(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN", "s3cret")
    asked = read(tmp_path, "-i https://${TOKEN}@a/\nflask\n")
    assert asked.values("index-url") == ["https://s3cret@a/"]
    assert "s3cret" not in repr(asked)


def test_all_faults_of_all_files_are_told_at_once(tmp_path):
    (tmp_path / "more.txt").write_text("six ==\n")
    text = (
        "flask >> 3\n-r more.txt\n-r nothere.txt\nlxml --global-option=--x\n"
        "--frobnicate\n-r https://elsewhere/x.txt\nok\n"
    )
    with pytest.raises(ServiceError) as raised:
        read(tmp_path, text)
    told = [str(fault).rpartition("/")[2] for fault in raised.value.faults]
    assert [line.partition(":")[0] for line in told[:2]] == ["requirements.txt", "more.txt"]
    assert "requirements.txt:1: it is no requirement:" in str(raised.value)
    assert "more.txt:1: it is no requirement:" in str(raised.value)
    assert "requirements.txt:3: there is no file 'nothere.txt'. Correct the path" in str(raised.value)
    assert "requirements.txt:4: --global-option is for a build" in str(raised.value)
    assert "requirements.txt:5: '--frobnicate' is not known" in str(raised.value)
    assert "requirements.txt:6: a file of another machine is included" in str(raised.value)
    assert len(raised.value.faults) == 6


def test_the_fingerprint_heeds_what_is_meant_and_nothing_else(tmp_path):
    before = read(tmp_path, "flask\n-i https://a/\n").fingerprint(WINDOWS)
    same = (
        "# why\nflask   # because\n-i https://b/\n",
        b"\xef\xbb\xbfflask\r\n--index-url https://c/\r\n",
        "\n\nflask\n",
    )
    assert all(read(tmp_path, text).fingerprint(WINDOWS) == before for text in same)
    others = ("flask==3\n", "flask\n--pre\n", "flask\nsix\n", "flask\n--no-binary :all:\n")
    assert before not in {read(tmp_path, text).fingerprint(WINDOWS) for text in others}
    assert read(tmp_path, "flask\n").fingerprint(target.parse("win_amd64", "3.12.4")) != before
    (tmp_path / "held.txt").write_text("six<2\n")
    held = read(tmp_path, "flask\n-c held.txt\n").fingerprint(WINDOWS)
    (tmp_path / "held.txt").write_text("six<3\n")
    assert read(tmp_path, "flask\n-c held.txt\n").fingerprint(WINDOWS) not in {held, before}


def test_the_fingerprint_heeds_the_metadata_of_a_project_nearby(tmp_path):
    (tmp_path / "near").mkdir()
    project = tmp_path / "near" / "pyproject.toml"
    project.write_text("[project]\nname='near'\n")
    before = read(tmp_path, "-e ./near[all]\n").fingerprint(WINDOWS)
    project.write_text("[project]\nname='near'\ndependencies=['six']\n")
    assert read(tmp_path, "-e ./near[all]\n").fingerprint(WINDOWS) != before


@pytest.mark.parametrize(
    "text", ["./near", "-e ./near", "near @ file:{}/near", "file:{}/near", "./near ; os_name=='nt'"]
)
def test_what_lies_here_is_found(tmp_path, text):
    (tmp_path / "near").mkdir()
    (line,) = read(tmp_path, text.format(tmp_path)).lines
    assert line.local(tmp_path) == tmp_path / "near"


@pytest.mark.parametrize("text", ["near", "https://a/b/c.whl", "git+https://a/near", "./nothere"])
def test_what_lies_elsewhere_is_not(tmp_path, text):
    (tmp_path / "near").mkdir()
    (line,) = read(tmp_path, text).lines
    assert line.local(tmp_path) is None


def test_a_pyproject_gives_its_dependencies_with_their_lines(tmp_path):
    text = '[project]\nname = "x"\nversion = "0"\ndependencies = [\n  "flask>=3",\n  "six",\n]\n'
    asked = read(tmp_path, text, "pyproject.toml")
    assert [(line.name, line.number) for line in asked.lines] == [("flask", 5), ("six", 6)]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('[project]\ndynamic = ["dependencies"]\n', "its dependencies are dynamic"),
        ("[project\n", "it is no TOML"),
        ('[project]\ndependencies = ["a >> 3"]\n', "pyproject.toml:2: it is no requirement"),
        ('[project]\ndependencies = "a"\n', "dependencies is no list of texts"),
        ("project = 3\n", "project is no table"),
    ],
)
def test_a_pyproject_that_cannot_tell_is_told(tmp_path, text, wrong):
    with pytest.raises(ServiceError, match=wrong):
        read(tmp_path, text, "pyproject.toml")


def test_a_folder_of_wheels_asks_for_each_package_once(tmp_path):
    for tag in ("cp312-cp312-win_amd64", "cp312-cp312-manylinux_2_28_x86_64"):
        make_wheel(tmp_path / "wheels", "main", "1.0", tag)
    make_wheel(tmp_path / "wheels", "other", "2.0")
    asked = requirements.read(tmp_path / "wheels")
    assert sorted(line.text for line in asked.lines) == ["main==1.0", "other==2.0"]
    assert len(asked.shelf) == 3


def test_a_file_that_only_looks_like_a_wheel_is_told(tmp_path):
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "main.whl").touch()
    with pytest.raises(ServiceError, match=r"wheels/main.whl: it is no wheel: .* Give it the name"):
        requirements.read(tmp_path / "requirements.txt")
