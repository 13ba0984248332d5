"""The rules of App Service on Linux as tables: what an app is, what Python it gets, and what would start it."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from hosted import lay

from cloudservice import appservice, build_manifest
from cloudservice.errors import ServiceError
from emulator.appservice import startup
from emulator.appservice.startup import Asked, Debugging
from emulator.hosts.listening import bound, is_the_container_s
from packager.appservice import detection, runtimes, settings
from packager.appservice.failure import BuildError
from packager.appservice.runtimes import Runtime

PYTHON = [
    ({"requirements.txt": ""}, "."),
    ({"pyproject.toml": ""}, "."),
    ({"setup.py": ""}, "."),
    ({"uv.lock": ""}, "."),
    ({"notes.ipynb": ""}, "."),
    ({"environment.yml": "channels: [a]"}, "."),
    ({"environment.yaml": "Dependencies: [a]"}, "."),
    ({"environment.yml": "name: a"}, None),
    ({"environment.yml": "[channels]"}, None),
    ({"environment.yml": "channels: ["}, None),
    ({"environment.yml": "- channels"}, None),
    ({"runtime.txt": "python-3.11\n"}, "."),
    ({"runtime.txt": "PYTHON-3.11"}, "."),
    ({"runtime.txt": "ruby-3.11"}, None),
    ({"runtime.txt": " python-3.11"}, None),
    ({"main.py": ""}, "."),
    ({"b/main.py": "", "a.py": ""}, "."),
    ({"b/c/main.py": ""}, "b/c"),
    ({"b/c/main.py": "", "a/x.py": ""}, "a"),
    ({".git/hooks/a.py": ""}, ".git/hooks"),
    ({"sub/requirements.txt": ""}, None),
    ({".python-version": "3.11"}, None),
    ({"Pipfile": "", "poetry.lock": ""}, None),
    ({"index.html": ""}, None),
    ({}, None),
]


@pytest.mark.parametrize(("files", "found"), PYTHON)
def test_an_app_is_python_by_its_files(tmp_path, files, found):
    assert detection.detect(lay(tmp_path / "app", files), "requirements.txt", is_recursive=True) == found


def test_only_the_root_counts_where_the_lookup_is_not_recursive(tmp_path):
    app = lay(tmp_path / "app", {"a/main.py": ""})
    assert detection.detect(app, "requirements.txt", is_recursive=False) is None


def test_own_requirements_count_instead_of_the_usual_ones(tmp_path):
    app = lay(tmp_path / "app", {"requirements.txt": "", "deploy/needs.txt": ""})
    assert detection.detect(app, "deploy/needs.txt", is_recursive=False) == "."
    assert detection.detect(app, "deploy/none.txt", is_recursive=False) is None


HERE = [Runtime(version, Path(version)) for version in ("3.15.0rc1", "3.14.2", "3.12.10", "3.12.3", "3.9.18", "3.8.20")]
VERSIONS = [
    ("3", "3.14.2"),
    ("3.12", "3.12.10"),
    ("3.12.x", "3.12.10"),
    ("3.12.3", "3.12.3"),
    ("~3.12.3", "3.12.10"),
    ("^3.8.1", "3.14.2"),
    (">=3.9 <3.14", "3.12.10"),
    (" 3.9\n", "3.9.18"),
    ("3.15", "3.15.0rc1"),
    ("3.15.0rc1", "3.15.0rc1"),
    ("3.12.4", None),
    ("2.7", None),
    ("4", None),
    ("three", None),
]


@pytest.mark.parametrize(("asked", "found"), VERSIONS)
def test_the_highest_version_in_a_range_is_taken(monkeypatch, asked, found):
    monkeypatch.setattr(runtimes, "installed", lambda: HERE)
    monkeypatch.setattr(runtimes, "own", lambda: HERE[2])
    if found is not None:
        assert runtimes.choose(asked).version == found
        return
    with pytest.raises(BuildError) as caught:
        runtimes.choose(asked)
    assert caught.value.exit_code == 3
    listed = "3.8.20, 3.9.18, 3.12.3, 3.12.10, 3.14.2, 3.15.0rc1"
    line = f"Platform 'python' version '{asked}' is unsupported. Supported versions: {listed}"
    assert str(caught.value).splitlines()[0] == line


STACKS = [("PYTHON|3.12", "3.12"), ("python:3.9", "3.9"), ("3.12", "3.12"), ("NODE|20", None), ("PYTHON|", None)]


@pytest.mark.parametrize(("stack", "version"), STACKS)
def test_a_runtime_has_the_platform_s_name(stack, version):
    assert runtimes.asked_by_stack(stack) == version


def test_an_old_version_is_told():
    assert runtimes.is_outdated("3.7.9")
    assert not runtimes.is_outdated("3.8.0")
    assert not runtimes.is_outdated("3.12.1")


BUILD_ENV = [
    ("A=1", {"A": "1"}),
    ('a = "x y" \n\n# c=1\n;d=2\n[s]\nb=c=d\nnothing\n=1', {"A": "x y", "B": "c=d"}),
    ('A="', {"A": '"'}),
    ("A=", {"A": ""}),
]


@pytest.mark.parametrize(("text", "found"), BUILD_ENV)
def test_a_build_env_is_read(text, found):
    assert appservice.parse_build_env(text) == found


def test_the_environment_counts_more_than_build_env(tmp_path):
    app = lay(tmp_path / "app", {"build.env": "PRE_BUILD_COMMAND=one\nPOST_BUILD_COMMAND=two"})
    found = settings.load(app, {"PRE_BUILD_COMMAND": "three"}, {})
    assert (found.pre_build.text, found.post_build.text) == ("three", "two")


BOOLEANS = [("true", True), ("TRUE", True), ("false", False), ("", False), ("1", None), ("yes", None), ("on", None)]


@pytest.mark.parametrize(("written", "value"), BOOLEANS)
def test_booleans_are_true_and_false_alone(tmp_path, written, value):
    environ = {"DISABLE_COLLECTSTATIC": written}
    if value is not None:
        assert settings.load(tmp_path, environ, {}).is_on("DISABLE_COLLECTSTATIC") is value
        return
    with pytest.raises(BuildError, match="Oops") as caught:
        settings.load(tmp_path, environ, {})
    assert caught.value.exit_code == 1


DEPLOYED = [
    ({}, True, True),
    ({}, False, False),
    ({"SCM_DO_BUILD_DURING_DEPLOYMENT": "1"}, False, True),
    ({"SCM_DO_BUILD_DURING_DEPLOYMENT": "True"}, False, True),
    ({"SCM_DO_BUILD_DURING_DEPLOYMENT": "0"}, True, False),
    ({"SCM_DO_BUILD_DURING_DEPLOYMENT": "false"}, True, False),
    ({"ENABLE_ORYX_BUILD": "false"}, True, False),
]


@pytest.mark.parametrize(("values", "is_default", "is_built"), DEPLOYED)
def test_a_setting_says_whether_a_deployment_builds(values, is_default, is_built):
    assert settings.is_built(values, is_default) is is_built


COMMANDS = [
    ({"PRE_BUILD_COMMAND": "a", "PRE_BUILD_SCRIPT_PATH": "b"}, {}, ("b", "")),
    ({"PRE_BUILD_COMMAND": "a"}, {}, ("a", "")),
    ({"PRE_BUILD_COMMAND": "go.sh"}, {"go.sh": ""}, ("", "go.sh")),
    ({"PRE_BUILD_COMMAND": "go.sh now"}, {"go.sh": ""}, ("go.sh now", "")),
    ({"PRE_BUILD_COMMAND": "a"}, {"appsvc.yaml": "pre-build: |\n  b\n  c\n"}, ("b;c", "")),
    ({"PRE_BUILD_SCRIPT_PATH": "a"}, {"appsvc.yaml": "pre-build: b"}, ("b", "")),
    ({"PRE_BUILD_COMMAND": "a"}, {"appsvc.yaml": "pre-build: [b"}, ("a", "")),
]


@pytest.mark.parametrize(("environ", "files", "found"), COMMANDS)
def test_a_command_is_text_or_a_file_of_the_app(tmp_path, environ, files, found):
    app = lay(tmp_path / "app", files)
    command = settings.load(app, environ, {}).pre_build
    assert (command.text, os.path.relpath(command.file, app) if command.file else "") == found


OUTSIDE = [
    ({"CUSTOM_REQUIREMENTSTXT_PATH": "../needs.txt"}, {}),
    ({"PRE_BUILD_COMMAND": "../go.sh"}, {}),
    ({"POST_BUILD_SCRIPT_PATH": "[TMP]/go.sh"}, {}),
    ({}, {"virtualenv_name": "../venv"}),
    ({}, {"packagedir": "/tmp/x"}),
]


@pytest.mark.parametrize(("environ", "properties"), OUTSIDE)
def test_paths_that_leave_the_app_are_refused(tmp_path, environ, properties):
    lay(tmp_path, {"go.sh": "", "needs.txt": "", "app/a.py": ""})
    environ = {name: value.replace("[TMP]", str(tmp_path)) for name, value in environ.items()}
    with pytest.raises(BuildError, match="leads out of the app"):
        settings.load(tmp_path / "app", environ, properties)


def test_properties_that_cannot_be_are_all_told(tmp_path):
    with pytest.raises(BuildError) as caught:
        settings.load(tmp_path, {}, {"packagedir": "a", "virtualenv_name": "b", "colour": "red"})
    assert "packagedir and virtualenv_name exclude each other" in str(caught.value)
    assert "'colour' is unknown" in str(caught.value)


FASTAPI = "from fastapi import FastAPI\napp = FastAPI()\n"
STARTS = [
    ({"mysite/wsgi.py": "", "app.py": ""}, "3.12.1", "Django", "mysite.wsgi"),
    ({"b/wsgi.py": "", "a/wsgi.py": "", "B/wsgi.py": ""}, "3.12.1", "Django", "B.wsgi"),
    ({"antenv/wsgi.py": "", "b/wsgi.py": ""}, "3.12.1", "Django", "b.wsgi"),
    ({".hidden/wsgi.py": "", "b/wsgi.py": ""}, "3.12.1", "Django", ".hidden.wsgi"),
    ({"a/b/wsgi.py": "", "app.py": ""}, "3.12.1", "Flask", "app:app"),
    ({"a/wsgi.py/x": "", "app.py": ""}, "3.12.1", "Flask", "app:app"),
    ({"main.py": FASTAPI}, "3.13.9", "default", "application:app"),
    ({"main.py": FASTAPI}, "3.14.0", "FastAPI", "main:app"),
    ({"app.py": FASTAPI, "application.py": ""}, "3.14.0", "FastAPI", "app:app"),
    ({"app.py": "import fastapi\nfrom flask import Flask"}, "3.14.0", "Flask", "app:app"),
    ({"main.py": "import flask", "api.py": "import fastapi"}, "3.15.1", "FastAPI", "api:app"),
    ({"application.py": "", "app.py": ""}, "3.12.1", "Flask", "application:app"),
    ({"app.py": "", "run.py": ""}, "3.12.1", "Flask", "app:app"),
    ({"run.py": "", "index.py": ""}, "3.12.1", "Flask", "run:app"),
    ({"index.py": "", "server.py": ""}, "3.12.1", "Flask", "index:app"),
    ({"server.py": "", "wsgi.py": ""}, "3.12.1", "Flask", "server:app"),
    ({"wsgi.py": ""}, "3.12.1", "Flask", "wsgi:app"),
    ({"App.py": "", "main.py": ""}, "3.12.1", "default", "application:app"),
    ({"app.py/x": ""}, "3.12.1", "default", "application:app"),
    ({}, "3.12.1", "default", "application:app"),
]


@pytest.fixture(autouse=True)
def _an_app(tmp_path):
    (tmp_path / "app").mkdir()


def asked(app: Path, version: str = "3.12.1", environ: dict[str, str] | None = None, **more) -> Asked:
    return Asked(app, more.pop("manifest", None), environ or {}, version, Path("/opt/defaultsite"), **more)


@pytest.mark.parametrize(("files", "version", "framework", "module"), STARTS)
def test_the_start_finds_a_framework(tmp_path, files, version, framework, module):
    start = startup.plan(asked(lay(tmp_path / "app", files), version))
    assert (start.framework, start.module) == (framework, module)
    if framework == "default":
        assert start.messages[-2] == "No framework detected; using default app from /opt/defaultsite"
    else:
        assert start.messages[-2] == f"Detected an app based on {framework}"
    assert start.messages[-1] == f"Generating `gunicorn` command for '{module}'"


def test_links_to_folders_are_not_looked_into(tmp_path):
    app = lay(tmp_path / "app", {"app.py": ""})
    lay(tmp_path / "elsewhere", {"wsgi.py": ""})
    (app / "linked").symlink_to(tmp_path / "elsewhere")
    assert startup.plan(asked(app)).module == "app:app"


def test_fastapi_is_not_looked_for_where_that_is_switched_off(tmp_path):
    app = lay(tmp_path / "app", {"main.py": FASTAPI})
    assert startup.plan(asked(app, "3.14.1", {"DISABLE_FASTAPI_DETECTION": "true"})).framework == "default"


LOGS = "--timeout 600 --access-logfile '-' --error-logfile '-'"
ARGUMENTS = [
    ({}, f"{LOGS} --bind=0.0.0.0:8000"),
    ({"PYTHON_USE_GUNICORN_CONFIG_FROM_PATH": "conf/g.py"}, f"{LOGS} -c conf/g.py --bind=0.0.0.0:8000"),
    ({"PYTHON_GUNICORN_CUSTOM_WORKER_NUM": "3"}, f"{LOGS} --bind=0.0.0.0:8000"),
    ({"PYTHON_ENABLE_GUNICORN_MULTIWORKERS": "false"}, f"{LOGS} --bind=0.0.0.0:8000"),
    (
        {"PYTHON_ENABLE_GUNICORN_MULTIWORKERS": "T", "PYTHON_GUNICORN_CUSTOM_WORKER_NUM": "3"},
        f"{LOGS} --workers=3 --bind=0.0.0.0:8000",
    ),
    (
        {
            "PYTHON_ENABLE_GUNICORN_MULTIWORKERS": "true",
            "PYTHON_GUNICORN_CUSTOM_WORKER_NUM": "3",
            "PYTHON_GUNICORN_CUSTOM_THREAD_NUM": "x",
            "PYTHON_USE_GUNICORN_CONFIG_FROM_PATH": "g.py",
        },
        f"{LOGS} -c g.py --workers=3 --threads=x --bind=0.0.0.0:8000",
    ),
    (
        {"PYTHON_ENABLE_GUNICORN_MULTIWORKERS": "1"},
        f"{LOGS} --workers={2 * len(os.sched_getaffinity(0)) + 1} --bind=0.0.0.0:8000"
        if hasattr(os, "sched_getaffinity")
        else None,
    ),
]


@pytest.mark.parametrize(("environ", "arguments"), ARGUMENTS)
def test_gunicorn_gets_the_platform_s_arguments(tmp_path, environ, arguments):
    app = lay(tmp_path / "app", {"app.py": ""})
    command = startup.plan(asked(app, environ=environ)).command
    assert command == f'GUNICORN_CMD_ARGS="{arguments} --chdir={app}" gunicorn app:app'


def test_fastapi_gets_another_worker_and_the_default_page_another_folder(tmp_path):
    app = lay(tmp_path / "app", {"main.py": FASTAPI})
    command = startup.plan(asked(app, "3.14.1")).command
    assert command.endswith(f'--chdir={app}" gunicorn -k uvicorn_worker.UvicornWorker main:app')
    (app / "main.py").unlink()
    command = startup.plan(asked(app, "3.14.1")).command
    assert command.endswith('--chdir=/opt/defaultsite" gunicorn application:app')


@pytest.mark.parametrize("written", ["yes", "on", "tRue"])
def test_a_boolean_that_go_does_not_know_ends_the_start(tmp_path, written):
    app = lay(tmp_path / "app", {"app.py": ""})
    with pytest.raises(startup.StartError) as caught:
        startup.plan(asked(app, environ={"PYTHON_ENABLE_GUNICORN_MULTIWORKERS": written}))
    assert caught.value.exit_code == 2


DEBUGGED = [
    ({"app.py": ""}, "-m flask run --host $HOST --port $PORT"),
    ({"mysite/wsgi.py": ""}, "-m manage runserver --noreload --nothreading $HOST:$PORT"),
    ({"main.py": FASTAPI}, "-m uvicorn main:app --host $HOST --port $PORT"),
    ({}, "application.py"),
]


@pytest.mark.parametrize(("files", "server"), DEBUGGED)
def test_a_debugged_app_runs_under_its_framework_s_own_server(tmp_path, files, server):
    app = lay(tmp_path / "app", files)
    for waits in (True, False):
        one = asked(app, "3.14.1", debugging=Debugging(5678, waits), host="127.0.0.1")
        listens = f"python -m debugpy --listen 127.0.0.1:5678{' --wait-for-client' if waits else ''} "
        assert startup.plan(one).command.endswith(f"&& {listens}{server}")


CUSTOM = [
    ("gunicorn -w 4 x:app", "gunicorn -w 4 x:app"),
    ("go.sh", "go.sh"),
    ("startup.txt", "gunicorn x:app"),
    ("conf/startup.cmd", "flask run"),
    ("empty.txt", ""),
    ("missing.sh", "missing.sh"),
    ("python 'a  b.py'", "python 'a  b.py'"),
    ("go.sh now", "go.sh now"),
]
CUSTOM_FILES = {
    "go.sh": "a\nb",
    "startup.txt": "gunicorn x:app\nsecond\n",
    "conf/startup.cmd": "flask run",
    "empty.txt": "",
}


@pytest.mark.parametrize(("given", "command"), CUSTOM)
def test_a_start_up_command_takes_the_place_of_detection(tmp_path, given, command):
    app = lay(tmp_path / "app", {**CUSTOM_FILES, "app.py": ""})
    start = startup.plan(asked(app, command=given))
    assert (start.framework, start.module, start.fallback) == ("custom", None, "")
    assert start.command == f'PATH="$PATH:{app}" {command}'
    assert start.messages[-1] == f"Site's appCommandLine: {given}"


def test_a_start_up_file_elsewhere_is_refused(tmp_path):
    app = lay(tmp_path / "app", {"app.py": ""})
    lay(tmp_path, {"go.sh": ""})
    (app / "linked.sh").symlink_to(tmp_path / "go.sh")
    for given in ("../go.sh", str(tmp_path / "go.sh"), "linked.sh"):
        with pytest.raises(ServiceError, match="leads out of the app"):
            startup.plan(asked(app, command=given))


DOCUMENTED = [
    ({"app.py": ""}, "Flask", "gunicorn --bind=0.0.0.0 --timeout 600 app:app"),
    ({"application.py": "", "app.py": ""}, "Flask", "gunicorn --bind=0.0.0.0 --timeout 600 application:app"),
    ({"a/wsgi.py": ""}, "Django", "gunicorn --bind=0.0.0.0 --timeout 600 a.wsgi"),
    (
        {"run.py": ""},
        "default",
        "gunicorn --bind=0.0.0.0 --timeout 600 --chdir=/opt/defaultsite application:app",
    ),
    (
        {"main.py": FASTAPI},
        "default",
        "gunicorn --bind=0.0.0.0 --timeout 600 --chdir=/opt/defaultsite application:app",
    ),
]


@pytest.mark.parametrize(("files", "framework", "command"), DOCUMENTED)
def test_the_documented_start_knows_less(tmp_path, files, framework, command):
    start = startup.plan(asked(lay(tmp_path / "app", files), "3.14.1", behaviour="documented"))
    assert (start.framework, start.command) == (framework, command)
    both = startup.plan(asked(tmp_path / "app", "3.14.1", behaviour="documented", command="false"))
    assert (both.framework, both.fallback) == ("custom", command)


def test_the_start_tells_of_the_manifest_and_of_what_runs_after_it(tmp_path):
    app = lay(tmp_path / "app", {"app.py": "", "appsvc.yaml": "version: 1\nrun: echo done\n"})
    where = app / "oryx-manifest.toml"
    assert startup.plan(asked(app)).messages[0] == f"Could not find build manifest file at '{where}'"
    said = startup.plan(asked(app, manifest={"OperationId": "abc"})).messages
    assert said[:2] == (f"Found build manifest file at '{where}'. Deserializing it...", "Build Operation ID: abc")
    assert said[2] == "User provided run command: echo done"


def test_a_path_with_blanks_and_signs_stays_one_word(tmp_path):
    app = lay(tmp_path / "my $app's", {"app.py": ""})
    command = startup.plan(asked(app)).command
    script = command.replace("gunicorn app:app", "printenv GUNICORN_CMD_ARGS")
    printed = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert shlex.split(printed)[-1] == f"--chdir={app}"


BINDS = [
    ([], True),
    (["--bind=0.0.0.0"], True),
    (["-b", "0.0.0.0:8000"], True),
    (["-b0.0.0.0:9123"], True),
    (["--bind", "[::]:8000"], True),
    (["--bind", ":8000"], True),
    (["--bind=0.0.0.0:9000"], False),
    (["--bind=unix:/tmp/x.sock"], False),
    (["-b", "0.0.0.0:8000", "-b", "0.0.0.0:9000"], False),
]


@pytest.mark.parametrize(("words", "is_taken_over"), BINDS)
def test_gunicorn_s_address_is_known(words, is_taken_over):
    found = bound(["-w", "2", *words, "x:app"])
    assert all(is_the_container_s(address, "9123") for address in found) is is_taken_over


def test_a_manifest_is_written_and_read(tmp_path):
    told = {"PythonVersion": "3.12.1", "SourceDirectoryInBuildContainer": '/tmp/a "b"\\c\té'}
    lay(tmp_path, {"oryx-manifest.toml": build_manifest.render(told)})
    assert build_manifest.load(tmp_path) == told
    lay(tmp_path, {"oryx-manifest.toml": "PythonVersion="})
    with pytest.raises(ServiceError, match="it is no TOML"):
        build_manifest.load(tmp_path)
