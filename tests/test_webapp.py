"""Apps of App Service for Windows, built and run from the command line as a repository has them."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import free_port, make_wheel, status_of, until
from hosted import Hosted, config, lay

from emulator.hosts.windows_paths import Places

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
APP = """
import os
import sys

def wsgi_app(environ, start_response):
    start_response("200 OK", [("Content-type", "text/plain")])
    yield b"Hello World"

def about(environ, start_response):
    import tiny
    start_response("200 OK", [])
    names = ("PYTHONPATH", "WSGI_ALT_VIRTUALENV_ACTIVATE_THIS", "WEBSITE_SITE_NAME")
    return [repr((tiny.VERSION, tiny.__file__, sys.executable, [os.environ.get(name) for name in names])).encode()]
"""
PROXY = """
import os
import site
import sys

script = os.getenv("WSGI_ALT_VIRTUALENV_ACTIVATE_THIS")
if not script:
    raise Exception("WSGI_ALT_VIRTUALENV_ACTIVATE_THIS is not set")

def found():
    module, _, name = os.environ["WSGI_ALT_VIRTUALENV_HANDLER"].rpartition(".")
    return getattr(__import__(module), name)

def get_virtualenv_handler():
    with open(script) as file:
        exec(file.read(), {"__file__": script})
    return found()

def get_venv_handler():
    sys.executable = script
    before, sys.path = sys.path, []
    site.main()
    sys.path.insert(0, "")
    sys.path.extend(one for one in before if one not in sys.path)
    return found()
"""
WEB_CONFIG = r"""<?xml version="1.0"?>
<configuration>
  <appSettings>
    <add key="WSGI_ALT_VIRTUALENV_HANDLER" value="app.[HANDLER]" />
    <add key="WSGI_ALT_VIRTUALENV_ACTIVATE_THIS" value="D:\home\site\wwwroot\env\Scripts\[SCRIPT]" />
    <add key="WSGI_HANDLER" value="ptvs_virtualenv_proxy.[ENTRY]()" />
    <add key="PYTHONPATH" value="D:\home\site\wwwroot" />
    <add key="WSGI_LOG" value="D:\home\LogFiles\wsgi.log" />
  </appSettings>
  <system.web><compilation debug="true" targetFramework="4.0" /></system.web>
  <system.webServer>
    <modules runAllManagedModulesForAllRequests="true" />
    <handlers>
      <remove name="Python273_via_FastCGI" />
      <remove name="Python340_via_FastCGI" />
      <add name="Python FastCGI" path="handler.fcgi" verb="*" modules="FastCgiModule" requireAccess="Script"
           scriptProcessor="D:\Python34\python.exe|D:\Python34\Scripts\wfastcgi.py" resourceType="Unspecified" />
    </handlers>
    <rewrite>
      <rules>
        <rule name="Static Files" stopProcessing="true">
          [STATIC]
        </rule>
        <rule name="Configure Python" stopProcessing="true">
          <match url="(.*)" ignoreCase="false" />
          <conditions></conditions>
          <action type="Rewrite" url="handler.fcgi/{R:1}" appendQueryString="true" />
        </rule>
      </rules>
    </rewrite>
  </system.webServer>
</configuration>
"""
NEVER = '<conditions><add input="true" pattern="false" /></conditions>'
ELSEWHERE = """<match url="^/static/.*" ignoreCase="true" />
          <action type="Rewrite" url="^/FlaskWebProject/static/.*" appendQueryString="true" />"""
TWO = ("activate_this.py", "get_virtualenv_handler")
THREE = ("python.exe", "get_venv_handler")


def web_config(kind: tuple[str, str], handler: str = "wsgi_app", static: str = NEVER) -> str:
    script, entry = kind
    words = {"HANDLER": handler, "SCRIPT": script, "ENTRY": entry, "STATIC": static}
    return re.sub(r"\[(\w+)\]", lambda match: words[match[1]], WEB_CONFIG)


@pytest.fixture
def app(tmp_path, monkeypatch):
    """The repository of an app that needs a package `tiny`, which pip finds in a folder."""
    make_wheel(tmp_path / "wheels", "tiny", "1.0")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    files = {
        "app.py": APP,
        "requirements.txt": "tiny==1.0\n",
        "runtime.txt": f"python-{HERE}\n",
        "web.2.7.config": web_config(TWO),
        f"web.{HERE}.config": web_config(THREE),
        "ptvs_virtualenv_proxy.py": PROXY,
        "static/site.css": "own",
        "FlaskWebProject/static/site.css": "elsewhere",
    }
    return lay(tmp_path / "app", files)


@contextmanager
def running(rolepack, folder: Path, *words: str, **environ: str) -> Iterator[Hosted]:
    """`webapp-run`, ended by SIGTERM when the block ends."""
    made = Hosted(folder, free_port(), folder.parent / "logs")
    argv = rolepack.argv("webapp-run", folder, "--platform", "windows", "--port", str(made.port))
    argv += ["--logs", str(made.logs), *words]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WSGI_")}
    with subprocess.Popen(argv, env={**clean, **environ}, stdout=subprocess.PIPE, text=True) as process:
        made.process = process
        line = process.stdout.readline()
        try:
            assert line == f"{folder.name} is at {made.url}, its logs are in {made.logs}\n"
            yield made
            process.terminate()
            assert process.wait(30) == 0
            assert process.stdout.read() == ""
        finally:
            process.kill()


def build(rolepack, folder: Path, *words: str) -> str:
    return rolepack.ok("webapp-build", folder, "--platform", "windows", *words, cwd=folder)


def test_an_app_is_built_and_answers(app, rolepack):
    said = build(rolepack, app)
    assert f"Took web.{HERE}.config as web.config.\n" in said
    assert "packages in env (new).\n" in said.replace(f"{app}/", "")
    assert (app / "web.config").read_text() == (app / f"web.{HERE}.config").read_text()
    with running(rolepack, app) as site:
        assert site.get("/") == site.get("/a/b?c=d") == "Hello World"
        assert site.ask("/").headers["Content-type"] == "text/plain"
        assert site.get("/static/site.css") == "own"
        assert site.ask("/static/none.css").status == 404
        assert "initialized\n" in (site.logs / "wsgi.log").read_text()
        until(lambda: [1 for path in site.logs.glob("W3SVC1/*") if " GET /static/site.css " in path.read_text()])
    assert not list((app / "static").rglob("*.pyc"))


@pytest.mark.parametrize("kind", [TWO, THREE], ids=["virtualenv", "venv"])
@pytest.mark.parametrize("own", [True, False], ids=["its own proxy", "our proxy"])
def test_both_proxies_give_the_packages_of_the_environment(app, rolepack, kind, own):
    if not own:
        (app / "ptvs_virtualenv_proxy.py").unlink()
    (app / f"web.{HERE}.config").write_text(web_config(kind, "about"))
    build(rolepack, app)
    with running(rolepack, app) as site:
        version, place, executable, (path, script, name) = eval(site.get("/"))  # noqa: S307 - what we print ourselves
        assert version == "1.0"
        assert Path(place).is_relative_to(app / "env")
        assert Path(executable).parent == app / "env/bin"
        scripts = {TWO: app / "env/bin/activate_this.py", THREE: app / "env/bin/python"}
        assert (path, Path(script), name) == (str(app), scripts[kind], "app")


def test_static_files_come_from_where_the_rule_says_and_to_the_letter_from_nowhere(app, rolepack):
    (app / f"web.{HERE}.config").write_text(web_config(THREE, static=ELSEWHERE))
    build(rolepack, app)
    with running(rolepack, app) as site:
        assert site.get("/static/site.css") == "elsewhere"
    with running(rolepack, app, "--behaviour", "current") as site:
        assert site.get("/static/site.css") == "Hello World"


def test_the_environment_is_made_again_only_for_another_runtime(app, rolepack):
    build(rolepack, app)
    mark = app / "env" / "mark"
    mark.write_text("")
    make_wheel(app.parent / "wheels", "other", "2.0")
    (app / "requirements.txt").write_text("tiny==1.0\nother\n")
    assert "in env (kept).\n" in build(rolepack, app).replace(f"{app}/", "")
    assert mark.exists()
    assert list(app.glob("env/lib/python*/site-packages/other.py"))
    (app / "env/.rolepack-made").write_text("3.1\n")
    assert "in env (new).\n" in build(rolepack, app).replace(f"{app}/", "")
    assert not mark.exists()


def test_a_runtime_that_is_not_here_is_told_and_another_may_be_chosen(app, rolepack):
    (app / "runtime.txt").write_text("python-2.7")
    message = rolepack.refused("webapp-build", app, "--platform", "windows", cwd=app)
    remedy = f"Install it, or choose another with --python, as in --python {HERE}."
    assert message.endswith(f"runtime.txt:1: Python 2.7 is not installed here. {remedy}\n")
    assert not (app / "env").exists()
    assert "Took web.2.7.config as web.config." in build(rolepack, app, "--python", HERE)
    with running(rolepack, app) as site:
        assert site.get("/") == "Hello World"


def test_a_web_config_that_gives_way_is_kept(app, rolepack):
    (app / "web.config").write_text("<configuration/>")
    build(rolepack, app)
    assert (app / "web.config.bak").read_text() == "<configuration/>"


@pytest.mark.parametrize(
    ("files", "words", "message"),
    [
        ({}, ["--platform", "amiga"], "--platform: 'amiga' is unknown. Choose linux or windows.\n"),
        ({"runtime.txt": "ruby"}, None, "runtime.txt:1: 'ruby' names no Python. Write it as python-"),
        (
            {"env/a.txt": ""},
            None,
            "env: it is no virtual environment, and the build makes one of that name. Rename",
        ),
        ({"requirements.txt": "nowhere-to-be-found"}, None, "requirements.txt: pip could not install it:\n"),
        ({}, ["--platform", "windows", "--python", "9.9"], "--python: there is no Python '9.9' here."),
    ],
)
def test_what_cannot_be_built_is_told(app, rolepack, files, words, message):
    lay(app, files)
    given = ["--platform", "windows"] if words is None else words
    assert message in rolepack.refused("webapp-build", app, *given, cwd=app)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "it has a requirements.txt, and no environment. Build it first: rolepack webapp-build"),
        (["--behaviour", "odd"], "--behaviour: 'odd' is unknown. Choose current or documented.\n"),
        (["--port", "70000"], "--port: 70000 is no port. Choose one from 0 to 65535.\n"),
    ],
)
def test_what_cannot_be_run_is_told(app, rolepack, words, message):
    assert message in rolepack.refused("webapp-run", app, "--platform", "windows", *words, cwd=app)


def test_a_folder_without_requirements_or_without_a_web_config_is_served(tmp_path, rolepack):
    plain = "def app(environ, start):\n    start('200 OK', [])\n    return [b'plain']\n"
    with running(rolepack, lay(tmp_path / "a", {"app.py": plain, "Web.Config": config()})) as site:
        assert site.get("/") == "plain"
    with running(rolepack, lay(tmp_path / "b", {"app.py": plain}), WSGI_HANDLER="app.app") as site:
        assert site.get("/") == "plain"
    with running(rolepack, lay(tmp_path / "c", {"app.py": plain})) as site:
        assert status_of(site.url) == 500
        assert "WSGI_HANDLER env var must be set" in site.ask("/").text


def test_ctrl_c_ends_it_and_a_taken_port_is_told(tmp_path, rolepack):
    folder = lay(tmp_path / "a", {"app.py": "", "web.config": config()})
    port = free_port()
    argv = rolepack.argv("webapp-run", folder, "--platform", "windows", "--port", str(port))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith(f"a is at http://127.0.0.1:{port}")
        message = rolepack.refused("webapp-run", folder, "--platform", "windows", "--port", str(port), cwd=tmp_path)
        assert message == f"--port: port {port} is taken. Choose another, or 0 for a free one.\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert (folder / ".rolepack/LogFiles/Site.log").exists()


def test_a_debugger_is_let_in_where_a_setting_asks_for_it(tmp_path, rolepack):
    port = free_port()
    settings = '<add key="WSGI_PTVSD_SECRET" value="s" />'
    settings += f'<add key="WSGI_PTVSD_ADDRESS" value="0.0.0.0:{port}" />'
    plain = "def app(environ, start):\n    start('200 OK', [])\n    return [b'plain']\n"
    with running(rolepack, lay(tmp_path / "a", {"app.py": plain, "web.config": config(settings=settings)})) as site:
        assert site.get("/") == "plain"
        assert f"debugpy listens at 127.0.0.1:{port}" in site.output
        shown = subprocess.run(["ss", "-ltn"], capture_output=True, text=True, check=False).stdout
        assert f"0.0.0.0:{port} " not in shown


def test_a_program_of_its_own_serves_an_app(tmp_path, rolepack):
    server = """
import http.server, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.path} {os.environ['NAME']} {sys.argv[2:]}".encode())

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
    platform = r"""<handlers><add name="p" path="*" verb="*" modules="httpPlatformHandler" /></handlers>
<httpPlatform processPath="%home%\site\wwwroot\env\Scripts\python.exe" stdoutLogEnabled="true"
  arguments="D:\home\site\wwwroot\programs\server.py %HTTP_PLATFORM_PORT% &quot;two words&quot;"
  stdoutLogFile="D:\home\LogFiles\python.log">
  <environmentVariables><environmentVariable name="NAME" value="n" /></environmentVariables>
</httpPlatform>"""
    files = {"programs/server.py": server, "web.config": config(server=platform)}
    with running(rolepack, lay(tmp_path / "a", files)) as site:
        assert site.get("/x?y") == "/x?y n ['two words']"
        until(lambda: [1 for path in site.logs.glob("python.log_*.log") if "GET /x?y" in path.read_text()])


def test_paths_of_app_service_are_those_of_this_machine(tmp_path):
    places = Places(tmp_path / "app", tmp_path / "logs")
    version = f"python{HERE}"
    table = {
        r"D:\home\site\wwwroot": str(tmp_path / "app"),
        "d:\\HOME\\site\\wwwroot\\": str(tmp_path / "app"),
        r"D:\home\site\wwwroot\lib;%X%": f"{tmp_path}/app/lib;%X%",
        r"D:\home\site\wwwroot\env\Scripts\python.exe": f"{tmp_path}/app/env/bin/python",
        r"D:\home\site\wwwroot\env\Lib\site-packages": f"{tmp_path}/app/env/lib/{version}/site-packages",
        r"env\Scripts\activate_this.py": "env/bin/activate_this.py",
        r"D:\home\LogFiles\wsgi.log": f"{tmp_path}/logs/wsgi.log",
        r"C:\other\path": r"C:\other\path",
        "no path": "no path",
    }
    assert {text: places.local(text) for text in table} == table
