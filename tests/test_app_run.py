"""Starts of apps for App Service on Linux: real gunicorn, real requests, real ends."""

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import command_of, free_port, get, is_alive, make_wheel, pids, status_of, until, variables_of
from hosted import lay

from cloudservice.appservice import home_of

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
pytestmark = [pytest.mark.skipif(os.name == "nt", reason="needs gunicorn"), pytest.mark.usefixtures("image", "fresh")]

FLASK = """
import os
import sys

from flask import Flask, request

app = Flask(__name__)


@app.get("/")
def about():
    return {"environ": dict(os.environ), "cwd": os.getcwd(), "python": sys.executable, "pid": os.getpid(),
            "parent": os.getppid(), "path": sys.path, "headers": dict(request.headers)}


@app.get("/tiny")
def tiny():
    import tiny
    return {"version": tiny.VERSION, "file": tiny.__file__}
"""
SLOW = """

@app.get("/slow")
def slow():
    import time
    open("asked", "w").close()
    time.sleep(1.5)
    print("late words", flush=True)
    assert os.path.exists("app.py")
    return "slow"


import atexit
atexit.register(lambda: open("at exit", "w").close())
"""
SERVER = """
import http.server
import os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"own server")

http.server.HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""


class Running:
    """A `webapp-run` and what it says."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, output: Path) -> None:
        self.process, self.port, self.output = process, port, output

    @property
    def said(self) -> str:
        return self.output.read_text()

    def get(self, path: str = "/") -> bytes:
        return get(f"http://127.0.0.1:{self.port}{path}")

    def about(self) -> dict:
        return json.loads(self.get())

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(30)


@contextmanager
def running(rolepack, app: Path, *words: str, until_said: str = " is at http", **environ: str) -> Iterator[Running]:
    port = free_port()
    output = app.parent / f"run-{port}.txt"
    argv = rolepack.argv("webapp-run", app, "--port", str(port), *words)
    clean = {name: value for name, value in os.environ.items() if name not in {"HOST", "PORT"}}
    with output.open("wb") as file:
        process = subprocess.Popen(argv, cwd=app.parent, env={**clean, **environ}, stdout=file, stderr=file)
    one = Running(process, port, output)
    try:
        until(lambda: until_said in one.said or process.poll() is not None)
        assert until_said in one.said, one.said
        yield one
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        process.kill()
        process.wait()


def log_of(app: Path, which: str = "default_docker") -> str:
    return "".join(path.read_text() for path in home_of(app).logs.glob(f"*_{which}.log"))


def listeners(port: int) -> set[str]:
    """The addresses at which something listens at a port, in hexadecimal as Linux tells them."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    found = (line.split() for line in lines)
    return {words[1].partition(":")[0] for words in found if words[3] == "0A" and words[1].endswith(f":{port:04X}")}


@pytest.fixture
def app(tmp_path):
    return lay(tmp_path / "shop", {"app.py": FLASK, "start.sh": "gunicorn --bind=0.0.0.0 app:app\n"})


def test_a_folder_runs_as_it_is_and_ends_when_it_is_told(app, rolepack):
    with running(rolepack, app) as one:
        told = one.about()
        assert told["cwd"] == str(app)
        assert listeners(one.port) == {"0100007F"}
        wanted = {
            "WEBSITE_SITE_NAME": "shop",
            "WEBSITE_HOSTNAME": "127.0.0.1",
            "HOST": "127.0.0.1",
            "PORT": str(one.port),
            "APP_PATH": str(app),
        }
        assert wanted.items() <= told["environ"].items()
        arguments = f"--timeout 600 --access-logfile '-' --error-logfile '-' --bind=0.0.0.0:{one.port} --chdir={app}"
        assert told["environ"]["GUNICORN_CMD_ARGS"] == arguments
        assert one.end() == 0
        assert not is_alive(told["pid"])
        assert not is_alive(told["parent"])
    said = log_of(app)
    lines = [
        f"Could not find build manifest file at '{app}/oryx-manifest.toml'",
        "App Command Line not configured, will attempt auto-detect",
        "Detected an app based on Flask",
        "Generating `gunicorn` command for 'app:app'",
        f"WARNING: Could not find virtual environment directory '{app}/antenv'.",
        f"WARNING: Could not find package directory '{app}/__oryx_packages__'.",
    ]
    assert said.splitlines()[: len(lines)] == lines
    assert '"GET / HTTP/1.1" 200' in said
    assert re.search(r"^\S+Z shop is at http://127\.0\.0\.1:\d+ after", log_of(app, "docker"), re.MULTILINE)
    left = sorted(path.name for path in home_of(app).folder.iterdir())
    assert left == ["LogFiles"]


def test_print_command_starts_nothing(app, rolepack):
    told = json.loads(rolepack.ok("webapp-run", app, "--print-command", "--json", "--port", "9321", cwd=app))
    arguments = f"--timeout 600 --access-logfile '-' --error-logfile '-' --bind=0.0.0.0:9321 --chdir={app}"
    assert told == {
        "framework": "Flask",
        "command": f'GUNICORN_CMD_ARGS="{arguments}" gunicorn app:app',
        "module": "app:app",
        "messages": [
            f"Could not find build manifest file at '{app}/oryx-manifest.toml'",
            "App Command Line not configured, will attempt auto-detect",
            "Detected an app based on Flask",
            "Generating `gunicorn` command for 'app:app'",
        ],
    }
    said = rolepack.ok("webapp-run", app, "--print-command", "--startup-command", "python x.py", cwd=app)
    assert said.splitlines()[-2:] == ["Site's appCommandLine: python x.py", f'PATH="$PATH:{app}" python x.py']
    assert sorted(path.name for path in app.iterdir()) == ["app.py", "start.sh"]


def test_without_an_app_there_is_the_default_page(tmp_path, rolepack):
    app = lay(tmp_path / "empty", {"index.html": "x"})
    with running(rolepack, app) as one:
        assert b"no app was found in it" in one.get("/any/where")
        assert "No framework detected; using default app from " in one.said


STARTUPS = [
    ("gunicorn --bind=0.0.0.0 --timeout 600 hello:myapp", b"hello"),
    ("gunicorn -b 0.0.0.0:8000 hello:myapp", b"hello"),
    ("gunicorn -w 2 hello:myapp", b"hello"),
    ("gunicorn --bind=0.0.0.0 --timeout 600 --chdir website site_app:app", b"website"),
    ("python server.py", b"own server"),
    ("startup.sh", b"hello"),
    ("scripts/start.sh", b"own server"),
    ("startup.txt", b"hello"),
    ("X=1 && export X && exec python server.py", b"own server"),
]


@pytest.mark.parametrize(("command", "answer"), STARTUPS)
def test_start_up_commands_of_every_kind_answer_at_the_port(tmp_path, rolepack, command, answer):
    page = "def {}(environ, start_response):\n    start_response('200 OK', [])\n    return [b'{}']\n"
    app = lay(
        tmp_path / "shop",
        {
            "hello.py": page.format("myapp", "hello"),
            "website/site_app.py": page.format("app", "website"),
            "server.py": SERVER,
            "startup.sh": "echo from the script\ngunicorn --bind=0.0.0.0 --timeout 600 hello:myapp\n",
            "scripts/start.sh": "#!/bin/sh\npython server.py\n",
            "startup.txt": "gunicorn --bind=0.0.0.0 --timeout 600 hello:myapp\nfalse\n",
        },
    )
    with running(rolepack, app, "--startup-command", command) as one:
        assert one.get() == answer
        assert listeners(one.port) == {"0100007F"}
        assert f"Site's appCommandLine: {command}\n" in one.said
        assert one.end() == 0


def test_another_address_is_left_alone_and_hosts_are_chosen(tmp_path, rolepack):
    page = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'x']\n"
    app = lay(tmp_path / "shop", {"app.py": page})
    other = free_port()
    with running(
        rolepack, app, "--startup-command", f"gunicorn -b 127.0.0.1:{other} app:app", until_said="Booting"
    ) as one:
        until(lambda: listeners(other))
        assert not listeners(one.port)
    with running(rolepack, app, "--host", "0.0.0.0") as one:  # noqa: S104
        assert listeners(one.port) == {"00000000"}


def test_a_failing_command_is_the_end_or_goes_on_as_documented(app, rolepack):
    done = rolepack("webapp-run", app, "--port", "0", "--startup-command", "echo trying; exit 5", cwd=app)
    assert (done.returncode, "trying\n" in done.stdout, "the app has ended: exit code 5" in done.stdout) == (
        5,
        True,
        True,
    )
    with running(rolepack, app, "--startup-command", "exit 5", "--behaviour", "documented") as one:
        assert one.about()["cwd"] == str(app)
        assert "The startup command failed with exit code 5; looking for a Django or Flask app." in one.said
        assert one.about()["environ"].get("GUNICORN_CMD_ARGS") is None


def test_an_app_that_cannot_be_loaded_ends_with_gunicorn_s_code(app, rolepack):
    (app / "app.py").write_text("import absent_module\n")
    done = rolepack("webapp-run", app, "--port", "0", cwd=app)
    assert done.returncode == 3
    assert "ModuleNotFoundError: No module named 'absent_module'" in done.stdout
    assert "Worker failed to boot." in log_of(app)


def test_pre_run_command_comes_first_and_may_fail(app, rolepack):
    lay(app, {"build.env": "PRE_RUN_COMMAND=echo from build.env"})
    with running(rolepack, app) as one:
        said = one.said
        assert said.index("Running the provided pre-run command...") < said.index("from build.env")
        assert said.index("from build.env") < said.index("Starting gunicorn")
    command = "echo app path is $APP_PATH.; pwd; export MARK=1; nowhere_to_be_found"
    with running(rolepack, app, PRE_RUN_COMMAND=command) as one:
        assert f"app path is .\n{app}\n" in one.said
        assert one.about()["environ"]["MARK"] == "1"


def test_settings_are_the_app_s_environment(app, rolepack):
    lay(
        app,
        {
            ".env": "A=from-dotenv\nB='two words'\nexport C=x\n",
            "appsettings.json": '[{"name": "A", "slotSetting": false, "value": "from-json"}]',
        },
    )
    rolepack.ok("webapp-settings", app, "--set", "D=set=so", cwd=app)
    subprocess.run(rolepack.argv("webapp-settings", app, "--secret", "KEY"), input="s3cret\n", text=True, check=True)
    with running(rolepack, app, A="from outside") as one:
        environ = one.about()["environ"]
        assert {name: environ[name] for name in "ABCD"} == {"A": "from-json", "B": "two words", "C": "x", "D": "set=so"}
        assert environ["KEY"] == "s3cret"
        arguments = b"".join(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if is_readable(path))
        assert b"s3cret" not in arguments
        for path in home_of(app).folder.rglob("*"):
            if path.is_file() and b"s3cret" in path.read_bytes():
                assert path.stat().st_mode & 0o077 == 0


def is_readable(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True


def test_gunicorn_s_own_settings_count(app, rolepack):
    lay(app, {"gunicorn.conf.py": "workers = 2\ntimeout = 1\naccesslog = 'access.txt'\nraw_env = ['CONF=1']\n"})
    with running(rolepack, app) as one:
        assert one.about()["environ"]["CONF"] == "1"
        until(lambda: one.said.count("Booting worker with pid") == 2)
        assert not (app / "access.txt").exists()
    lay(app, {"conf/own.py": "raw_env = ['CONF=2']\n"})
    environ = {"PYTHON_ENABLE_GUNICORN_MULTIWORKERS": "true", "PYTHON_GUNICORN_CUSTOM_WORKER_NUM": "3"}
    with running(rolepack, app, PYTHON_USE_GUNICORN_CONFIG_FROM_PATH="conf/own.py", **environ) as one:
        assert one.about()["environ"]["CONF"] == "2"
        until(lambda: one.said.count("Booting worker with pid") == 3)


BAD = [
    ({"PYTHON_ENABLE_GUNICORN_MULTIWORKERS": "maybe"}, 2, "'maybe' is no boolean"),
    ({"WEBSITES_CONTAINER_START_TIME_LIMIT": "soon"}, 1, "'soon' is no number of seconds"),
]


@pytest.mark.parametrize(("environ", "code", "wrong"), BAD)
def test_settings_that_cannot_be_end_the_start(app, rolepack, environ, code, wrong):
    done = rolepack("webapp-run", app, "--port", "0", cwd=app, **environ)
    assert (done.returncode, wrong in done.stderr) == (code, True), done
    done = rolepack("webapp-run", app, "--port", "70000", cwd=app)
    assert "70000 is no port" in done.stderr
    assert "--port: abc is no port" in rolepack.refused("webapp-run", app, "--port", "abc", cwd=app)
    assert "'1.2.3.4' is no IPv4 address" in rolepack.refused("webapp-run", app, "--host", "1.2.3.4", cwd=app)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port} is taken" in rolepack.refused("webapp-run", app, "--port", port, cwd=app)


def test_an_app_that_does_not_answer_in_time_is_ended(app, rolepack):
    done = rolepack(
        "webapp-run",
        app,
        *("--port", "0", "--startup-command", "sleep 600"),
        cwd=app,
        WEBSITES_CONTAINER_START_TIME_LIMIT="1",
    )
    assert done.returncode == 1
    assert re.search(r"the app has not answered at port \d+ within 1 s, and was ended", done.stdout)


@pytest.mark.parametrize("words", [(), ("--startup-command", "gunicorn app:app"), ("--front-end",)])
def test_what_has_begun_is_answered_before_the_end(app, rolepack, words):
    (app / "app.py").write_text(FLASK + SLOW)
    with running(rolepack, app, *words) as one:
        with ThreadPoolExecutor() as pool:
            answer = pool.submit(one.get, "/slow")
            until((app / "asked").exists)
            one.process.terminate()
            assert answer.result(30) == b"slow"
        assert one.process.wait(30) == 0
        assert (app / "at exit").exists()
        assert "late words\n" in log_of(app)


def test_changed_settings_start_the_app_again(app, rolepack):
    with running(rolepack, app) as one:
        rolepack.ok("webapp-settings", app, "--set", "GREETING=new", cwd=app)
        until(lambda: one.said.count(" is at http") == 2)
        told = one.about()["environ"]
        assert (told["GREETING"], told["PORT"]) == ("new", str(one.port))
        lay(app, {"appsettings.json": "{"})
        until(lambda: "the app starts again as it was, since its settings cannot be read" in one.said)
        until(lambda: one.said.count(" is at http") == 3)
        assert one.about()["environ"]["GREETING"] == "new"


def test_an_app_that_has_ended_is_not_waited_for(app, rolepack):
    with running(rolepack, app, "--startup-command", "sh start.sh", WEBSITES_CONTAINER_STOP_TIME_LIMIT="50") as one:
        for count in (2, 3):
            began = time.monotonic()
            rolepack.ok("webapp-settings", app, "--set", f"COUNT={count}", cwd=app)
            until(lambda count=count: one.said.count(" is at http") == count)
            assert time.monotonic() - began < 40
        assert one.end() == 0


def test_a_deployment_that_cannot_start_may_be_mended_behind_a_front_end(app, built, rolepack):
    built()
    path = home_of(app).wwwroot / "oryx-manifest.toml"
    with running(rolepack, app, "--front-end") as one:
        path.write_text(path.read_text().replace('Dir="false"', 'Dir="true"'))
        until(lambda: "there is neither output.tar.zst nor output.tar.gz" in one.said)
        assert status_of(f"http://127.0.0.1:{one.port}/") == 503
        built()
        until(lambda: one.said.count(" is at http") == 2)
        assert status_of(f"http://127.0.0.1:{one.port}/") == 200


def test_a_folder_that_runs_gives_way_to_what_is_deployed(app, built, rolepack):
    with running(rolepack, app) as one:
        assert one.about()["cwd"] == str(app)
        built()
        until(lambda: one.said.count(" is at http") == 2)
        assert one.about()["cwd"] == str(home_of(app).wwwroot)
        assert json.loads(one.get("/tiny"))["version"] == "1.0"


def test_what_runs_keeps_its_folder_until_it_has_ended(app, built, rolepack):
    (app / "app.py").write_text(FLASK + SLOW)
    built()
    wwwroot = home_of(app).wwwroot
    with running(rolepack, app) as one, ThreadPoolExecutor() as pool:
        answer = pool.submit(one.get, "/slow")
        until((wwwroot / "asked").exists)
        built()
        assert answer.result(30) == b"slow"
        until(lambda: one.said.count(" is at http") == 2)
    built()
    assert not list(wwwroot.parent.glob(".wwwroot.rolepack*"))


def test_several_deployments_leave_a_running_app_its_folder(app, built, rolepack):
    (app / "app.py").write_text(FLASK + SLOW.replace("1.5", "6"))
    built()
    wwwroot = home_of(app).wwwroot
    limit = {"WEBSITES_CONTAINER_STOP_TIME_LIMIT": "30"}
    with running(rolepack, app, **limit) as one, ThreadPoolExecutor() as pool:
        answer = pool.submit(one.get, "/slow")
        until((wwwroot / "asked").exists)
        built()
        built()
        assert answer.result(30) == b"slow"


def test_an_app_that_does_not_end_is_killed(app, rolepack):
    (app / "stubborn.py").write_text(f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{SERVER}")
    environ = {"WEBSITES_CONTAINER_STOP_TIME_LIMIT": "1"}
    with running(rolepack, app, "--startup-command", "exec python stubborn.py", **environ) as one:
        assert one.end() == 0
        assert "the app has stopped: killed by SIGKILL" in one.said


@pytest.mark.skipif(sys.platform != "linux", reason="needs a subreaper")
def test_nothing_stays_behind_when_the_container_is_killed(app, rolepack):
    (app / "start.sh").write_text("setsid sleep 600 &\ngunicorn --bind=0.0.0.0 app:app\n")
    with running(rolepack, app, "--startup-command", "start.sh") as one:
        told = one.about()
        sleeper = until(lambda: [pid for pid in pids() if command_of(pid) == ["sleep", "600"] and mine(pid, one.port)])
        container = int(Path(f"/proc/{one.process.pid}/task/{one.process.pid}/children").read_text().split()[0])
        os.kill(container, signal.SIGKILL)
        one.process.wait(30)
        assert not [pid for pid in (told["pid"], told["parent"], *sleeper) if is_alive(pid)]


def mine(pid: int, port: int) -> bool:
    return f"PORT={port}" in variables_of(pid)


@pytest.fixture
def built(app, tmp_path, rolepack, index):
    """The app with `tiny` in its requirements, and the words to build it."""
    index.add(make_wheel(tmp_path / "wheels", "tiny", "1.0"))
    (app / "requirements.txt").write_text("tiny\n")

    def build(*words: str) -> Path:
        rolepack.ok("webapp-build", app, *words, cwd=app)
        manifest = (home_of(app).wwwroot / "oryx-manifest.toml").read_text()
        return Path(re.search(r'SourceDirectoryInBuildContainer="(.*)"', manifest)[1])

    return build


def test_a_built_app_runs_in_its_environment(app, built, rolepack):
    work = built()
    wwwroot = home_of(app).wwwroot
    with running(rolepack, app) as one:
        told = one.about()
        assert told["cwd"] == told["environ"]["APP_PATH"] == str(wwwroot)
        assert told["environ"]["VIRTUAL_ENV"] == f"{work}/antenv"
        assert json.loads(one.get("/tiny"))["file"].startswith(str(wwwroot / "antenv/lib"))
        assert f"Using packages from virtual environment 'antenv' located at '{wwwroot}/antenv'." in one.said
        assert (work / "antenv").resolve() == wwwroot / "antenv"
        said = rolepack.ok("webapp-shell", app, "--", "python", "-c", "import tiny, os; print(os.getcwd())", cwd=app)
        assert said.strip() == str(wwwroot)
    assert not work.exists()


def test_an_app_in_one_archive_runs_where_it_was_built(app, built, rolepack):
    work = built("--compress")
    with running(rolepack, app) as one:
        assert one.about()["cwd"] == str(work)
        assert rolepack.ok("webapp-shell", app, "--", "pwd", cwd=app).strip() == str(work)
        assert json.loads(one.get("/tiny"))["file"].startswith(f"{work}/antenv/")
    assert not work.exists()
    (home_of(app).wwwroot / "output.tar.gz").unlink()
    done = rolepack("webapp-run", app, "--port", "0", cwd=app)
    assert (done.returncode, "there is neither output.tar.zst nor output.tar.gz" in done.stderr) == (2, True)


@pytest.mark.parametrize("kind", ["tar-gz", "zip"])
def test_a_compressed_environment_is_unpacked(app, built, rolepack, kind):
    work = built("--property", f"compress_virtualenv={kind}")
    command = "pip --version && which pip && gunicorn --bind=0.0.0.0 app:app"
    with running(rolepack, app, "--startup-command", command) as one:
        assert json.loads(one.get("/tiny"))["version"] == "1.0"
        assert f"{work}/antenv/bin/pip\n" in one.said


def test_a_package_folder_is_on_the_path(app, built, rolepack):
    built("--property", "packagedir=packages")
    with running(rolepack, app) as one:
        assert json.loads(one.get("/tiny"))["file"] == str(home_of(app).wwwroot / "packages/tiny.py")


def test_output_elsewhere_runs_too(app, built, rolepack, tmp_path):
    with contextlib.suppress(FileNotFoundError):
        built("--output", str(tmp_path / "out"))
    with running(rolepack, tmp_path / "out") as one:
        assert json.loads(one.get("/tiny"))["version"] == "1.0"


def test_a_manifest_that_names_another_folder_is_not_followed(app, built, rolepack, tmp_path):
    built()
    victim = lay(tmp_path / "victim", {"antenv": "precious"})
    path = home_of(app).wwwroot / "oryx-manifest.toml"
    text = re.sub(r'(SourceDirectoryInBuildContainer=)".*"', rf'\1"{victim}"', path.read_text())
    path.write_text(text)
    with running(rolepack, app) as one:
        assert json.loads(one.get("/tiny"))["version"] == "1.0"
    assert (victim / "antenv").read_text() == "precious"
    path.write_text(f'PythonVersion="{HERE}"\nvirtualEnvName="../../victim"\ncompressedVirtualEnvFile="x.zip"\n')
    refused = rolepack.refused("webapp-run", app, "--port", "0", cwd=app)
    assert "virtualEnvName is '../../victim', which leads out of the app" in refused


def test_a_new_deployment_starts_the_app_again(app, built, rolepack):
    built()
    with running(rolepack, app) as one:
        before = one.about()["pid"]
        (app / "app.py").write_text(FLASK.replace('{"environ"', '{"new": 1, "environ"'))
        built()
        until(lambda: one.said.count(" is at http") == 2)
        told = one.about()
        assert (told["new"], told["pid"] != before, is_alive(before)) == (1, True, False)
        assert "another version was deployed, or settings were changed: starting the app again" in one.said


def asked(url: str, **headers: str) -> dict:
    security = ssl._create_unverified_context()  # noqa: S323 - the certificate is of this machine
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30, context=security) as answer:
        return json.loads(answer.read())


def test_the_front_end_tells_the_app_of_the_client(app, rolepack):
    with running(rolepack, app, "--front-end") as one:
        url = f"http://127.0.0.1:{one.port}/"
        told = asked(url, **{"X-Forwarded-For": "10.1.2.3", "X-ARR-SSL": "forged", "X-Forwarded-Proto": "https"})
        headers = {name.lower(): value for name, value in told["headers"].items()}
        assert headers["x-forwarded-proto"] == "http"
        assert re.fullmatch(r"10\.1\.2\.3, 127\.0\.0\.1:\d+", headers["x-forwarded-for"])
        assert headers["host"] == headers["x-forwarded-host"] == f"127.0.0.1:{one.port}"
        assert "x-arr-ssl" not in headers
        assert told["environ"]["PORT"] != str(one.port)
        until(lambda: [1 for path in home_of(app).logs.glob("http/RawLogs/*.log") if " GET / - " in path.read_text()])
        assert one.end() == 0


def test_tls_ends_in_the_front_end(app, rolepack, tmp_path):
    with running(rolepack, app, "--https", until_said=" is at https") as one:
        told = asked(f"https://127.0.0.1:{one.port}/")
        headers = {name.lower(): value for name, value in told["headers"].items()}
        assert headers["x-forwarded-proto"] == "https"
        assert re.fullmatch(r"256\|256\|CN=[^|]+\|CN=[^|]+", headers["x-arr-ssl"])


def test_clients_see_service_unavailable_while_the_app_has_failed(app, rolepack):
    good = (app / "app.py").read_text()
    (app / "app.py").write_text("import absent_module\n")
    with running(rolepack, app, "--front-end", until_said="the app has ended: exit code 3") as one:
        url = f"http://127.0.0.1:{one.port}/"
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(url, timeout=30)
        assert (caught.value.code, b"Service Unavailable" in caught.value.read()) == (503, True)
        caught.value.close()
        (app / "app.py").write_text(good)
        until(lambda: " is at http" in one.said)
        assert status_of(url) == 200
        os.kill(asked(url)["parent"], signal.SIGKILL)
        until(lambda: one.said.count(" is at http") == 2)
        assert status_of(url) == 200


def test_the_end_of_the_front_end_is_the_end(app, rolepack):
    with running(rolepack, app, "--front-end") as one:
        listens = f'"http", "127.0.0.1", {one.port}'
        front = next(pid for pid in pids() if listens in " ".join(command_of(pid)))
        os.kill(front, signal.SIGKILL)
        assert one.process.wait(30) == 1
        assert "the front end has ended, and so was the app" in one.said


def test_paths_of_the_container_are_those_of_the_app(app, rolepack):
    lay(app, {"start.sh": "gunicorn --bind=0.0.0.0 app:app\n"})
    for command in ("/home/site/wwwroot/start.sh", "gunicorn --chdir /home/site/wwwroot app:app"):
        with running(rolepack, app, "--startup-command", command) as one:
            assert one.about()["cwd"] == str(app)
    with running(rolepack, app, "--startup-command", f"export X={'x' * 5000} && gunicorn app:app") as one:
        assert one.about()["environ"]["X"] == "x" * 5000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_an_app_that_is_open_to_all_is_warned_of(app, rolepack):
    with running(rolepack, app, "--startup-command", "python -m gunicorn app:app") as one:
        until(lambda: f"warning: the app itself listens at port {one.port} of all addresses" in one.said)


def test_an_app_is_debugged_where_that_is_asked_for(app, rolepack):
    port = free_port()
    with running(rolepack, app, "--debug-port", str(port)) as one:
        assert listeners(port) == {"0100007F"}
        assert one.about()["environ"]["FLASK_APP"] == "app.py"
    environ = {"APPSVC_REMOTE_DEBUGGING": "TRUE", "APPSVC_TUNNEL_PORT": str(port)}
    environ["APPSVC_REMOTE_DEBUGGING_BREAK"] = "TRUE"
    said = rolepack.ok("webapp-run", app, "--print-command", cwd=app, **environ)
    assert f"python -m debugpy --listen 127.0.0.1:{port} --wait-for-client -m flask run" in said


def test_logs_are_followed(app, rolepack):
    assert "there are no logs" in rolepack.refused("webapp-logs", app, cwd=app)
    with running(rolepack, app) as one:
        one.get("/?first")
        until(lambda: "GET /?first" in rolepack.ok("webapp-logs", app, cwd=app))
        argv = rolepack.argv("webapp-logs", app, "--follow", "--json")
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as following:
            lines = (json.loads(line) for line in following.stdout)
            assert any("GET /?first" in line["text"] for line in lines)
            one.get("/?second")
            assert any("GET /?second" in line["text"] for line in lines)
            following.send_signal(signal.SIGINT)
            assert following.wait(30) == 0
    said = rolepack.ok("webapp-logs", app, cwd=app)
    assert "the app has stopped" in said.splitlines()[-1]
