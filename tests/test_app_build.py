"""Builds of apps for App Service on Linux, from the command line, with bash, uv and pip."""

import itertools
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest
from conftest import Index, is_alive, make_project, make_sdist, make_wheel, until
from hosted import lay

from cloudservice.appservice import home_of
from packager.appservice import output

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
OLD_WORDS = "Could not find setup.py or requirements.txt; Not running pip install"
pytestmark = [pytest.mark.skipif(os.name == "nt", reason="needs bash"), pytest.mark.usefixtures("fresh")]


@pytest.fixture
def app(tmp_path, index):
    """An app that needs `tiny`, which the one index has."""
    index.add(make_wheel(tmp_path / "wheels", "tiny", "1.0"))
    return lay(tmp_path / "app", {"app.py": "import tiny\n", "requirements.txt": "tiny\n"})


def build(rolepack, app: Path, *words: str, **environ: str) -> str:
    return rolepack.ok("webapp-build", app, *words, cwd=app.parent, **environ)


def wwwroot(app: Path) -> Path:
    return home_of(app).wwwroot


def installed(environment: Path) -> set[str]:
    return {path.name for path in environment.glob("lib/python3.*/site-packages/*.dist-info")}


def logs(app: Path) -> list[str]:
    return [path.read_text() for path in sorted(home_of(app).deployments.glob("*/log.log"))]


def steps(said: str) -> list[str]:
    """What a build says, without times, ids and the tools' own words."""
    return [re.sub(r"/tmp/[0-9a-f]{16}", "WORK", line) for line in said.splitlines() if line and line[0] != "["]


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_build_says_and_leaves_what_the_platform_s_does(app, rolepack, installer):
    said = build(rolepack, app, "--installer", installer)
    place = wwwroot(app)
    told = steps(said)
    for line in (
        "Detected following platforms:",
        "Using intermediate directory 'WORK'.",
        "Source directory     : WORK",
        f"Destination directory: {place}",
        "Running build script snippets...",
        "Python Virtual Environment: antenv",
        "Creating virtual environment...",
        "Activating virtual environment...",
        "Running pip install...",
        "Preparing output...",
        "Manifest file created.",
    ):
        assert line in told
    assert re.search(r"^\[\d\d:\d\d:\d\d[+-]\d{4}\] .*tiny", said, re.MULTILINE)
    assert {path.name for path in place.iterdir()} == {
        *("app.py", "requirements.txt", "antenv", "oryx-manifest.toml", ".ostype")
    }
    assert "tiny-1.0.dist-info" in installed(place / "antenv")
    assert any(name.startswith("pip-") for name in installed(place / "antenv"))
    manifest = (place / "oryx-manifest.toml").read_text()
    for key, value in (("virtualEnvName", "antenv"), ("PlatformName", "python"), ("CompressDestinationDir", "false")):
        assert f'{key}="{value}"\n' in manifest
    work = Path(re.search(r'SourceDirectoryInBuildContainer="(.*)"', manifest)[1])
    assert not work.exists()
    assert re.search(
        rf"^ *VIRTUAL_ENV=['\"]?{work}/antenv\b", (place / "antenv/bin/activate").read_text(), re.MULTILINE
    )
    assert (place / "antenv/lib64").is_symlink() or not (place / "antenv/lib64").exists()
    assert sorted(path.name for path in app.iterdir()) == [".rolepack", "app.py", "requirements.txt"]


def test_both_installers_leave_the_same_packages(app, rolepack, tmp_path, index):
    index.add(make_wheel(tmp_path / "wheels", "other", "2.0", requires=("tiny<1.0",)))
    index.add(make_wheel(tmp_path / "wheels", "tiny", "0.9"))
    index.add(make_sdist(tmp_path / "sdists", "tiny", "0.95"))  # newer, but pip is to prefer binaries
    (app / "requirements.txt").write_text("other\n")
    found = {}
    for installer in ("uv", "pip"):
        shutil.rmtree(app / ".rolepack", ignore_errors=True)
        build(rolepack, app, "--installer", installer)
        packages = next(wwwroot(app).glob("antenv/lib/python3.*/site-packages"))
        files = {path.relative_to(packages).as_posix() for path in packages.rglob("*") if path.is_file()}
        own = {
            name for name in files if not name.endswith(("/uv_cache.json", "/REQUESTED"))
        }  # which mean nothing to pip
        found[installer] = {name for name in own if name.startswith(("tiny", "other", "__pycache__"))}
        assert {"tiny-0.9.dist-info", "other-2.0.dist-info"} <= installed(wwwroot(app) / "antenv")
    assert found["uv"] == found["pip"]


def test_what_has_no_wheel_is_built_by_pip(app, rolepack, tmp_path, index):
    index.add(make_sdist(tmp_path / "sdists", "other", "2.0"))
    (app / "requirements.txt").write_text("tiny\nother\n")
    said = build(rolepack, app)
    assert "uv pip install failed with exit code 1, falling back to pip install..." in said
    assert {"tiny-1.0.dist-info", "other-2.0.dist-info"} <= installed(wwwroot(app) / "antenv")


def test_an_environment_is_copied_only_while_nothing_is_new(app, rolepack, tmp_path, index):
    assert "Kept from the last build" not in build(rolepack, app)
    first = (wwwroot(app) / "antenv/bin/activate").read_text()
    for _ in range(2):
        assert "Kept from the last build" in build(rolepack, app)
        assert "tiny-1.0.dist-info" in installed(wwwroot(app) / "antenv")
        assert (wwwroot(app) / "antenv/lib64").is_symlink() or not (wwwroot(app) / "antenv/lib64").exists()
    assert (wwwroot(app) / "antenv/bin/activate").read_text() != first
    index.add(make_wheel(tmp_path / "wheels", "tiny", "1.1"))
    assert "Kept from the last build" not in build(rolepack, app, UV_NO_CACHE="1")
    assert "tiny-1.1.dist-info" in installed(wwwroot(app) / "antenv")
    # What is changed in place, by the app or a command, is not taken over.
    packages = next(wwwroot(app).glob("antenv/lib/python3.*/site-packages"))
    with (packages / "tiny.py").open("a") as file:
        file.write("CHANGED = True\n")
    build(rolepack, app)
    packages = next(wwwroot(app).glob("antenv/lib/python3.*/site-packages"))
    assert "CHANGED" not in (packages / "tiny.py").read_text()


def test_what_a_post_build_command_installs_is_not_kept(app, rolepack, tmp_path, index):
    index.add(make_wheel(tmp_path / "wheels", "other", "2.0"))
    build(rolepack, app, POST_BUILD_COMMAND="pip install -q other")
    assert "other-2.0.dist-info" in installed(wwwroot(app) / "antenv")
    assert "Kept from the last build" in build(rolepack, app)
    assert "other-2.0.dist-info" not in installed(wwwroot(app) / "antenv")


def test_local_packages_are_installed_anew_each_time(app, rolepack):
    make_project(app / "lib", "own", "1.0")
    (app / "requirements.txt").write_text("tiny\n./lib\n")
    for text in ("ONE = 1\n", "TWO = 2\n"):
        (app / "lib/own.py").write_text(text)
        build(rolepack, app)
        assert next(wwwroot(app).glob("antenv/lib/python3.*/site-packages/own.py")).read_text() == text


def test_commands_run_in_order_in_one_shell(app, rolepack):
    lay(app, {"scripts/after.sh": "pwd > where.txt\necho $MARK >> where.txt\necho $VIRTUAL_ENV >> where.txt\n"})
    pre = "mkdir -p made && cd made && export MARK=from-pre && pwd > ../pre.txt && echo requirements: && ls .."
    said = build(rolepack, app, PRE_BUILD_COMMAND=pre, POST_BUILD_COMMAND="scripts/after.sh")
    for line in (
        "Executing pre-build command...",
        "Finished executing pre-build command.",
        "Executing post-build command...",
        "Finished executing post-build command.",
    ):
        assert line in said
    assert re.search(r"^Pre-build command done in \d+ sec\(s\)\.$", said, re.MULTILINE)
    work = re.search(r"Using intermediate directory '(.*)'", said)[1]
    assert (wwwroot(app) / "pre.txt").read_text() == f"{work}/made\n"
    assert (wwwroot(app) / "where.txt").read_text().splitlines() == [work, "from-pre", f"{work}/antenv"]
    assert said.index("Executing pre-build") < said.index("Running pip install") < said.index("Executing post-build")
    assert not (app / "pre.txt").exists()
    assert not os.access(app / "scripts/after.sh", os.X_OK)


FAILURES = [
    ({"PRE_BUILD_COMMAND": "echo no; exit 7"}, 7, "no"),
    ({"PRE_BUILD_COMMAND": "cd nowhere; echo on"}, 1, "nowhere"),
    ({"POST_BUILD_COMMAND": "false"}, 1, "Executing post-build command..."),
    ({"CUSTOM_BUILD_COMMAND": "exit 9"}, 9, "Running custom build command..."),
    ({"PRE_BUILD_COMMAND": "frobnicate --now"}, 127, "frobnicate: command not found"),
    ({"CUSTOM_REQUIREMENTSTXT_PATH": "needs.txt"}, 1, "Path 'needs.txt' provided to CUSTOM_REQUIREMENTSTXT_PATH"),
    ({"DISABLE_COLLECTSTATIC": "1"}, 1, "Oops... An unexpected error has occurred."),
    ({"PYTHON_VERSION": "2.7"}, 3, "Platform 'python' version '2.7' is unsupported. Supported versions: "),
    ({"DISABLE_PYTHON_BUILD": "true"}, 2, "Could not detect the language from repo."),
]


@pytest.mark.parametrize(("environ", "code", "line"), FAILURES)
def test_a_build_that_fails_has_the_documented_code_and_changes_nothing(app, rolepack, environ, code, line):
    build(rolepack, app)
    lay(wwwroot(app), {"upload.txt": "kept"})
    (app / "app.py").write_text("new")
    before = {path: path.stat().st_mtime_ns for path in wwwroot(app).rglob("*")}
    done = rolepack("webapp-build", app, cwd=app, **environ)
    assert done.returncode == code, done
    assert line in done.stdout + done.stderr
    assert any(line in log for log in logs(app))
    assert "Traceback" not in done.stderr
    assert {path: path.stat().st_mtime_ns for path in wwwroot(app).rglob("*")} == before
    told = json.loads(rolepack.ok("webapp-deployments", app, "--json", cwd=app))
    assert [(one["status"], one["exit_code"], one["active"]) for one in told] == [
        ("failed", code, False),
        ("success", 0, True),
    ]


def test_pip_s_failure_is_reported_in_the_platform_s_words(app, rolepack):
    (app / "requirements.txt").write_text("absent==4.5\n")
    done = rolepack("webapp-build", app, cwd=app)
    assert done.returncode == 1
    report = re.search(r'^"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"\|ERROR\|(.*)$', done.stdout, re.MULTILINE | re.DOTALL)
    assert "No matching distribution found for absent==4.5" in report[1]
    ending = "Exit code: 1 | Please review your requirements.txt | More information: https://aka.ms/troubleshoot-python"
    assert ending in report[1]


def test_a_command_of_the_user_s_does_not_change_how_we_see_failures(app, rolepack):
    (app / "requirements.txt").write_text("absent\n")
    done = rolepack("webapp-build", app, cwd=app, PRE_BUILD_COMMAND="set -o pipefail; set -u; IFS=x")
    assert (done.returncode, "Please review your requirements.txt" in done.stdout) == (1, True)
    assert not wwwroot(app).exists()
    (app / "requirements.txt").write_text("tiny\n")
    build(rolepack, app, PRE_BUILD_COMMAND="set -o pipefail; set -u; IFS=x")
    done = rolepack("webapp-build", app, cwd=app, PRE_BUILD_COMMAND="exit 0")
    assert (done.returncode, "A command has ended the build before its end." in done.stdout) == (1, True)


def test_settings_of_pip_count_whichever_installs(app, rolepack, tmp_path, index):
    index.add(make_wheel(tmp_path / "wheels", "tiny", "0.8"))
    index.add(make_wheel(tmp_path / "wheels", "tiny", "2.0rc1"))
    other = Index(tmp_path / "other")
    other.add(make_wheel(tmp_path / "elsewhere", "tiny", "3.0"))
    lay(app, {"constraints.txt": "tiny<1\n"})
    both = f"--index-url {index.root.as_uri()}\n--extra-index-url {other.root.as_uri()}\ntiny\n"
    listed = [
        ({"PIP_CONSTRAINT": "constraints.txt"}, {}, "tiny\n", "0.8"),
        ({}, {"PRE_BUILD_COMMAND": "export PIP_CONSTRAINT=constraints.txt"}, "tiny\n", "0.8"),
        ({"PIP_PRE": "1"}, {}, "tiny\n", "2.0rc1"),
        ({}, {}, "--pre\ntiny\n", "2.0rc1"),
        ({"PIP_INDEX_URL": other.root.as_uri()}, {}, "tiny\n", "3.0"),
        ({}, {"PRE_BUILD_COMMAND": f"export PIP_INDEX_URL={other.root.as_uri()}"}, "tiny\n", "3.0"),
        ({}, {}, both, "3.0"),
        ({}, {}, "tiny\n", "1.0"),
    ]
    for settings, environ, requirements, version in listed:
        lay(app, {"requirements.txt": requirements, "appsettings.json": json.dumps(settings)})
        build(rolepack, app, **environ)
        assert f"tiny-{version}.dist-info" in installed(wwwroot(app) / "antenv"), (settings, environ, requirements)


def test_wheels_that_are_replaced_are_installed_anew(app, rolepack):
    found = [("--find-links wheels\nown==1.0\n", ""), ("own==1.0\n", "wheels")]
    for (requirements, links), text in itertools.product(found, ("first", "second")):
        lay(app, {"requirements.txt": requirements, ".env": f"PIP_FIND_LINKS={links}"})
        wheel = make_wheel(app / "wheels", "own", "1.0")
        with zipfile.ZipFile(wheel, "a") as archive:
            archive.writestr("own_text.txt", text)
        build(rolepack, app)
        assert next(wwwroot(app).glob("antenv/lib/python3.*/site-packages/own_text.txt")).read_text() == text, links


def test_an_app_without_any_sign_of_python_is_no_app(tmp_path, rolepack):
    app = lay(tmp_path / "app", {"index.html": "hello"})
    done = rolepack("webapp-build", app, cwd=app)
    assert (done.returncode, "Could not detect the language from repo." in done.stderr) == (2, True)
    done = rolepack("webapp-build", app, cwd=app, PLATFORM_NAME="python")
    line = "Couldn't detect a version for the platform 'python' in the repo."
    assert (done.returncode, line in done.stderr) == (3, True)
    said = build(rolepack, app, "--runtime", f"PYTHON|{HERE}")
    assert "Could not find requirements.txt, pyproject.toml, or setup.py; Not installing dependencies." in said


def test_an_app_without_requirements_is_built(tmp_path, rolepack):
    app = lay(tmp_path / "app", {"app.py": ""})
    assert "More information: https://aka.ms/requirements-not-found" in build(rolepack, app)
    assert OLD_WORDS in build(rolepack, app, "--behaviour", "documented")


def test_the_version_is_asked_for_in_the_documented_order(app, rolepack):
    lay(app, {"runtime.txt": "python-9.1\n"})
    assert rolepack("webapp-build", app, cwd=app).returncode == 3
    assert rolepack("webapp-build", app, cwd=app, PYTHON_DEFAULT_VERSION=HERE).returncode == 3
    assert f"python: {HERE}" in build(rolepack, app, PYTHON_VERSION=HERE)
    done = rolepack("webapp-build", app, "--runtime", "PYTHON|9.2", cwd=app, PYTHON_VERSION=HERE)
    assert "version '9.2' is unsupported" in done.stderr
    (app / "runtime.txt").unlink()
    assert "'9.3' is unsupported" in rolepack("webapp-build", app, cwd=app, PYTHON_DEFAULT_VERSION="9.3").stderr


def test_requirements_may_have_another_name(app, rolepack):
    lay(app, {"deploy/needs.txt": "tiny==1.0\n", "requirements.txt": "absent\n"})
    build(rolepack, app, CUSTOM_REQUIREMENTSTXT_PATH="deploy/needs.txt")
    assert "tiny-1.0.dist-info" in installed(wwwroot(app) / "antenv")
    (app / "requirements.txt").unlink()
    build(rolepack, app, "--compress", CUSTOM_REQUIREMENTSTXT_PATH="deploy/needs.txt")
    assert (wwwroot(app) / "requirements.txt").read_text() == "tiny==1.0\n"


def test_requirements_may_be_utf_16(app, rolepack):
    (app / "requirements.txt").write_bytes("tiny==1.0\r\n".encode("utf-16"))
    build(rolepack, app)
    assert "tiny-1.0.dist-info" in installed(wwwroot(app) / "antenv")


def test_a_package_folder_takes_the_place_of_an_environment(app, rolepack):
    said = build(rolepack, app, "--property", "packagedir=.packages", POST_BUILD_COMMAND="python -c 'import tiny'")
    assert (wwwroot(app) / ".packages/tiny.py").is_file()
    assert not (wwwroot(app) / "antenv").exists()
    assert 'packagedir=".packages"\n' in (wwwroot(app) / "oryx-manifest.toml").read_text()
    assert "Python Virtual Environment" not in said
    refused = rolepack.refused(
        "webapp-build", app, "--property", "packagedir=a", "--property", "virtualenv_name=b", cwd=app
    )
    assert "packagedir and virtualenv_name exclude each other" in refused


@pytest.mark.parametrize(("kind", "name"), [("tar-gz", "antenv.tar.gz"), ("zip", "antenv.zip")])
def test_an_environment_may_be_compressed(app, rolepack, kind, name):
    build(rolepack, app, "--property", f"compress_virtualenv={kind}")
    assert not (wwwroot(app) / "antenv").exists()
    assert f'compressedVirtualEnvFile="{name}"\n' in (wwwroot(app) / "oryx-manifest.toml").read_text()
    if kind == "zip":
        names = zipfile.ZipFile(wwwroot(app) / name).namelist()
    else:
        with tarfile.open(wwwroot(app) / name) as archive:
            names = [one.removeprefix("./") for one in archive.getnames()]
    assert "bin/activate" in names


def test_output_may_be_one_archive(app, rolepack):
    build(rolepack, app, "--compress")
    names = [".ostype", "oryx-manifest.toml", "output.tar.gz", "requirements.txt"]
    assert sorted(path.name for path in wwwroot(app).iterdir()) == names
    with tarfile.open(wwwroot(app) / "output.tar.gz") as archive:
        assert {"./app.py", "./antenv/bin/activate"} <= set(archive.getnames())


def test_what_the_app_has_written_stays_and_old_sources_too(app, rolepack):
    build(rolepack, app)
    lay(wwwroot(app), {"db.sqlite3": "data", "media/one.png": "1", "app.py": "edited there"})
    lay(app, {"media/logo.png": "2"})
    build(rolepack, app)
    assert (wwwroot(app) / "db.sqlite3").read_text() == "data"
    assert (wwwroot(app) / "media/one.png").read_text() == "1"
    assert (wwwroot(app) / "media/logo.png").read_text() == "2"
    assert (wwwroot(app) / "app.py").read_text() == "import tiny\n"


def test_output_goes_where_it_is_wanted_and_never_over_the_sources(app, rolepack, tmp_path):
    said = build(rolepack, app, "--output", "out")
    assert (tmp_path / "out/antenv/bin/python").exists()
    assert said.rstrip().endswith("webapp-run out --port 8000")
    assert not wwwroot(app).exists()
    build(rolepack, app, "--output", str(app / "built"))
    build(rolepack, app, "--output", str(app / "built"))
    assert not (app / "built/built").exists()
    for place in (app, tmp_path):
        assert "it is the folder of the sources" in rolepack.refused("webapp-build", app, "--output", place, cwd=app)
    lay(app, {"static/a.css": "precious"})
    for name, wrong in (
        ("static", "has sources in it"),
        (".rolepack", "is not for outputs"),
        ("app.py", "is no folder"),
    ):
        assert wrong in rolepack.refused("webapp-build", app, "--output", app / name, cwd=app)
    assert (app / "static/a.css").read_text() == "precious"
    (tmp_path / "link").symlink_to("out")
    lay(app, {"app.py": "import tiny  # new\n"})
    build(rolepack, app, "--output", "link")
    assert (tmp_path / "out/app.py").read_text() == "import tiny  # new\n"
    assert (tmp_path / "link").is_symlink()


def test_links_out_of_the_app_are_left_out(app, rolepack, tmp_path):
    lay(tmp_path, {"secret.txt": "no"})
    (app / "inside.txt").symlink_to("app.py")
    (app / "outside.txt").symlink_to(tmp_path / "secret.txt")
    (app / "loop.txt").symlink_to("loop.txt")
    said = build(rolepack, app)
    assert "WARNING: outside.txt links to a place outside of the app" in said
    assert (wwwroot(app) / "inside.txt").is_symlink()
    assert not (wwwroot(app) / "outside.txt").exists()


def test_a_virtual_environment_among_the_sources_is_made_anew(app, rolepack):
    lay(app, {"antenv/bin/python": "broken", "antenv.tar.gz": "old", ".git/config": "x", "__oryx_packages__/x.py": ""})
    build(rolepack, app)
    names = {path.name for path in wwwroot(app).iterdir()}
    assert not names & {".git", "__oryx_packages__", "antenv.tar.gz"}
    assert (wwwroot(app) / "antenv/bin/python").stat().st_size > 100


def test_node_is_used_when_the_build_asks_for_it(app, rolepack, tmp_path):
    lay(app, {"package.json": '{"scripts": {"build": "node -p 42 > built.txt"}}'})
    said = build(rolepack, app)
    assert "npm install" not in said
    if shutil.which("npm"):
        said = build(rolepack, app, ENABLE_MULTIPLATFORM_BUILD="true")
        assert said.index("Running 'npm install'...") < said.index("Running 'npm run build'...")
        assert (wwwroot(app) / "built.txt").read_text() == "42\n"
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in (
        "bash",
        "cp",
        "rm",
        "sed",
        "date",
        "dirname",
        "find",
        "sort",
        "cksum",
        "grep",
        "tee",
        "tr",
        "cat",
        "cmp",
    ):
        (tools / name).symlink_to(shutil.which(name))
    done = rolepack("webapp-build", app, cwd=app, ENABLE_MULTIPLATFORM_BUILD="true", PATH=str(tools))
    assert done.returncode == 127
    assert "npm: it is not here. Install Node.js, which the platform's build has." in done.stdout


def test_a_zip_is_built_only_if_a_setting_says_so(app, rolepack, tmp_path):
    path = Path(shutil.make_archive(str(tmp_path / "shop"), "zip", app))
    said = build(rolepack, path)
    assert "the files are deployed as they are" in said
    assert sorted(one.name for one in wwwroot(path).iterdir()) == ["app.py", "requirements.txt"]
    build(rolepack, path, SCM_DO_BUILD_DURING_DEPLOYMENT="1")
    assert "tiny-1.0.dist-info" in installed(wwwroot(path) / "antenv")
    lay(tmp_path, {"appsettings.json": '[{"name": "SCM_DO_BUILD_DURING_DEPLOYMENT", "value": "true"}]'})
    assert "Running pip install..." in build(rolepack, path)
    assert "Running pip install..." not in build(rolepack, app, SCM_DO_BUILD_DURING_DEPLOYMENT="false")


BAD_ZIPS = [
    ({"../evil.txt": 0}, "leads out of it"),
    ({"/evil.txt": 0}, "leads out of it"),
    ({"a\\..\\..\\evil.txt": 0}, "leads out of it"),
    ({"C:/evil.txt": 0}, "leads out of it"),
    ({"link": stat.S_IFLNK | 0o777}, "is neither file nor folder"),
    ({"a": 0, "a/b": 0}, "is in it twice, or as a file and as a folder"),
]


@pytest.mark.parametrize(("names", "wrong"), BAD_ZIPS)
def test_a_zip_that_leads_elsewhere_is_refused(tmp_path, rolepack, names, wrong):
    path = tmp_path / "shop.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, mode in names.items():
            info = zipfile.ZipInfo("x")
            info.filename = name
            info.external_attr = mode << 16
            archive.writestr(info, "/etc")
    assert wrong in rolepack.refused("webapp-build", path, cwd=tmp_path)
    assert not wwwroot(path).exists()
    assert not list(tmp_path.rglob("evil.txt"))


def test_what_is_no_zip_is_refused(tmp_path, rolepack):
    path = tmp_path / "shop.zip"
    path.write_bytes(b"PK\3\4 nothing")
    assert "it is no zip that can be read" in rolepack.refused("webapp-build", path, cwd=tmp_path)
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("app.py", "x = 1\n" * 1000)
        content = bytearray(path.read_bytes())
        content[45:60] = bytes(15)
        path.write_bytes(content)
        assert "it is no zip that can be read" in rolepack.refused("webapp-build", path, cwd=tmp_path)
    with zipfile.ZipFile(path, "w"):
        pass
    build(rolepack, path)
    assert "there is no such folder" in rolepack.refused("webapp-build", "none.zip", cwd=tmp_path)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_killed_build_leaves_the_app_and_the_next_one_clears_up(app, rolepack, how):
    build(rolepack, app)
    before = (wwwroot(app) / "oryx-manifest.toml").read_text()
    argv = rolepack.argv("webapp-build", app)
    command = "echo $$ > [PLACE]; sleep 600 & echo $! >> [PLACE]; echo started; wait"
    environ = {**os.environ, "PRE_BUILD_COMMAND": command.replace("[PLACE]", f"{app.parent}/pids")}
    with subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, text=True) as process:
        work = None
        for line in process.stdout:
            if match := re.search(r"Using intermediate directory '(.*)'", line):
                work = Path(match[1])
            if line == "started\n":
                break
        process.send_signal(how)
    pids = [int(line) for line in (app.parent / "pids").read_text().split()]
    assert len(pids) == 2
    until(lambda: not any(map(is_alive, pids)))
    assert work.is_dir()
    assert (wwwroot(app) / "oryx-manifest.toml").read_text() == before
    found = json.loads(rolepack.ok("webapp-deployments", app, "--json", cwd=app))
    assert [one["status"] for one in found] == ["interrupted", "success"]
    build(rolepack, app)
    assert not work.exists()
    assert not (home_of(app).folder / "scratch").exists()


def test_two_builds_of_an_app_take_turns(app, rolepack):
    both = [subprocess.Popen(rolepack.argv("webapp-build", app), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert "tiny-1.0.dist-info" in installed(wwwroot(app) / "antenv")


def test_names_with_blanks_and_quotes_are_names(tmp_path, rolepack, index):
    index.add(make_wheel(tmp_path / "wheels", "tiny", "1.0"))
    app = lay(tmp_path / "my 'app' $x é", {"app.py": "", "requirements.txt": "tiny"})
    build(rolepack, app, PRE_BUILD_COMMAND="echo \"it's\" '$HOME' > said.txt")
    assert (wwwroot(app) / "said.txt").read_text() == "it's $HOME\n"
    assert "tiny-1.0.dist-info" in installed(wwwroot(app) / "antenv")


def test_deployments_are_listed_and_shown(app, rolepack):
    build(rolepack, app, PRE_BUILD_COMMAND="echo first")
    build(rolepack, app, PRE_BUILD_COMMAND="echo second")
    listed = rolepack.ok("webapp-deployments", app, cwd=app)
    lines = listed.splitlines()
    assert [line.split()[2:] for line in lines[1:3]] == [
        ["success", sys.version.split()[0], "active"],
        ["success", sys.version.split()[0]],
    ]
    assert lines[-1] == "2 deployments."
    shown = rolepack.ok("webapp-deployments", app, "--show", lines[2].split()[0], cwd=app)
    assert re.search(r"^\d{4}-\d\d-\d\dT[\d:.]+Z first$", shown, re.MULTILINE)
    assert "no deployment begins with 'zz'" in rolepack.refused("webapp-deployments", app, "--show", "zz", cwd=app)
    assert "several deployments begin with ''" in rolepack.refused("webapp-deployments", app, "--show", "", cwd=app)


def test_a_command_that_leaves_something_running_does_not_hold_the_build(app, rolepack):
    build(rolepack, app, PRE_BUILD_COMMAND=f"sleep 600 & echo $! > {app.parent}/pid")
    until(lambda: not is_alive(int((app.parent / "pid").read_text())))


def test_long_commands_are_commands(app, rolepack):
    said = build(rolepack, app, PRE_BUILD_COMMAND=f"echo {'x' * 5000}")
    assert "x" * 5000 in said


def test_what_was_built_otherwise_before_does_not_stay(app, rolepack):
    build(rolepack, app, "--property", "virtualenv_name=other")
    build(rolepack, app, "--property", "packagedir=packages")
    build(rolepack, app, "--property", "compress_virtualenv=zip")
    build(rolepack, app)
    assert not {"other", "packages", "antenv.zip"} & {path.name for path in wwwroot(app).iterdir()}


def test_an_app_may_write_while_it_is_deployed(tmp_path):
    old, new = lay(tmp_path / "out", {"cache/a": "", "b": ""}), output.staged(tmp_path / "out")
    new.mkdir()
    is_over = threading.Event()

    def churn() -> None:
        while not is_over.is_set():
            for name in ("x", "y", "z"):
                (old / "cache" / name).write_text("")
            for name in ("x", "y", "z"):
                (old / "cache" / name).unlink()

    writer = threading.Thread(target=churn)
    writer.start()
    try:
        for _ in range(300):
            output.keep_rest(old, ())
            shutil.rmtree(new / "cache")
    finally:
        is_over.set()
        writer.join()


def test_credentials_of_an_index_are_shown_nowhere(app, rolepack):
    said = rolepack(
        "webapp-build",
        app,
        cwd=app,
        PIP_EXTRA_INDEX_URL="https://user:s3cret@127.0.0.1:1/simple",
        PRE_BUILD_COMMAND="echo https://user:s3cret@example.org; ps -eo args | grep -c s3cret | cat",
    )
    assert "s3cret@" not in said.stdout + said.stderr + "".join(logs(app))
