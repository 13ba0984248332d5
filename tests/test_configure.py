"""ConfigureCloudService.py and LaunchWorker.py, run as a host runs them, with doubles of what only Windows has."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import add_role, make_wheel

from cloudservice import definition, location, rolemodel
from cloudservice.files import sha256_of
from cloudservice.service import Site

DOUBLE = """#!{python}
# Records how it is called. As appcmd it keeps the FastCGI applications, as dism it ends as it is told.
import os, re, sys
from pathlib import Path
from xml.etree import ElementTree

place, name, words = Path(__file__).parent, Path(__file__).name, sys.argv[1:]
with (place / "calls.txt").open("a") as calls:
    calls.write(repr([name, *words]) + "\\n")
if name == "dism":
    sys.exit(int(os.environ.get("DISM", 0)))
kept = place / "register.xml"
root = ElementTree.fromstring(kept.read_text()) if kept.exists() else ElementTree.Element("fastCgi")
if words[0] == "list":
    print(ElementTree.tostring(ElementTree.ElementTree(root).getroot(), encoding="unicode"))
for word in words:
    named = re.fullmatch(r"/[+](?:\\[fullPath='(.*?)',arguments='(.*?)'(.*?)\\])(?:[.]environmentVariables[.]"
                         r"\\[name='(.*?)',value='(.*?)'\\])?", word)
    changed = re.fullmatch(r"/\\[fullPath='(.*?)',arguments='(.*?)'\\][.]environmentVariables[.]"
                           r"\\[name='(.*?)'\\][.]value:(.*)", word)
    if not (named or changed):
        continue
    path, arguments = (named or changed)[1], (named or changed)[2]
    there = [one for one in root if (one.get("fullPath"), one.get("arguments")) == (path, arguments)]
    if named and not named[4]:
        if there:
            sys.exit("Cannot add duplicate collection entry")
        ElementTree.SubElement(root, "application", fullPath=path, arguments=arguments)
    elif named:
        if any(one.get("name") == named[4] for one in there[0]):
            sys.exit("Cannot add duplicate collection entry")
        ElementTree.SubElement(there[0], "environmentVariable", name=named[4], value=named[5])
    else:
        next(one for one in there[0] if one.get("name") == changed[3]).set("value", changed[4])
kept.write_text(ElementTree.tostring(root, encoding="unicode"))
"""


class Host:
    """A role's root as a bundle unpacks it, and the programs of Windows that its scripts call."""

    def __init__(self, root: Path, role: Path, programs: Path) -> None:
        self.root, self.approot, self.programs = root, root / "approot", programs
        shutil.copytree(role, self.approot)
        programs.mkdir()
        for name in ("appcmd", "dism"):
            (programs / name).write_text(DOUBLE.format(python=sys.executable))
            (programs / name).chmod(0o755)

    def bring(self, name: str, version: str = "1.0") -> Path:
        """Put a wheel into the wheelhouse, and into the lock."""
        wheel = make_wheel(self.approot / "wheelhouse", name, version)
        lock = self.approot / "requirements.lock"
        head = lock.read_text() if lock.exists() else f"# python {sys.version_info[0]}.{sys.version_info[1]}.0 x\n"
        lock.write_text(f"{head}{name}=={version} --hash=sha256:{sha256_of(wheel)}\n")
        return wheel

    def model(self, role: str, sites: dict[str, str]) -> None:
        """Write RoleModel.xml."""
        defined = definition.load(self.root.parent / "shop" / location.DEFINITION)
        named = tuple(Site(name, None, (), ()) for name in sites)
        places = {(name,): place for name, place in sites.items()}
        (self.root / "RoleModel.xml").write_bytes(rolemodel.render(defined.role(role)._replace(sites=named), places))

    def run(
        self, name: str = "ConfigureCloudService.py", *words: str, python: str | Path = sys.executable, **environ: str
    ) -> subprocess.CompletedProcess:
        """Run a script of the role's, outside the emulator unless told otherwise."""
        own = {"PATH": f"{self.programs}:{os.environ['PATH']}", "EMULATED": "false", "RoleInstanceID": "web_IN_0"}
        environ = {**os.environ, **own, "RoleRoot": str(self.root), **environ}
        argv = [python, self.approot / "bin" / name, *words]
        return subprocess.run(argv, env=environ, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)

    def ok(self, python: str | Path = sys.executable, **environ: str) -> str:
        """Configure without a fault; what it printed."""
        done = self.run(python=python, **environ)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def fails(self, **environ: str) -> str:
        """Configure with a fault that is told without a traceback; what it printed."""
        done = self.run(**environ)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def calls(self) -> list[list[str]]:
        """How appcmd and dism were called since the last look."""
        recorded = self.programs / "calls.txt"
        lines = recorded.read_text().splitlines() if recorded.exists() else []
        recorded.unlink(missing_ok=True)
        return [ast.literal_eval(line) for line in lines]

    @property
    def config(self) -> Path:
        return self.approot / "web.config"

    def processor(self, config: Path | None = None) -> str:
        """The scriptProcessor in a web.config."""
        found = re.search('scriptProcessor="(.*?)"', (config or self.config).read_text())
        return found[1].replace("&quot;", '"')


def files(place: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder, with the time of its last change."""
    there = (path for path in place.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in there}


@pytest.fixture
def web(request, shop, tmp_path):
    """A web role on a host, in a folder whose name a test may choose."""
    host = Host(tmp_path / getattr(request, "param", "root"), shop / "roles" / "web", tmp_path / "programs")
    host.bring("wfastcgi", "3.0.0")
    host.model("web", {"Web": "approot"})
    return host


@pytest.fixture
def worker(shop, tmp_path):
    """A worker role on a host."""
    return Host(tmp_path / "root", shop / "roles" / "jobs", tmp_path / "programs")


@pytest.mark.parametrize("web", ["root", "a root"], indirect=True)
def test_the_steps_of_a_web_role_are_done_in_order_and_once(web):
    original = web.config.read_bytes()
    said = web.ok(ROLE_ENVIRONMENT="C:/role.json")
    features, unlock, listing, adding, variables = web.calls()
    assert unlock == ["appcmd", "unlock", "config", "/section:system.webServer/handlers"]
    assert features[:6] == ["dism", "/Online", "/English", "/NoRestart", "/Enable-Feature", "/All"]
    assert {"/FeatureName:IIS-CGI", "/FeatureName:IIS-WebServer"} <= set(features[6:])
    assert listing == ["appcmd", "list", "config", "/section:system.webServer/fastCgi"]
    python, bridge = (
        web.approot / place
        for place in (
            ".rolepack/env/bin/python",
            f".rolepack/env/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages/wfastcgi.py",
        )
    )
    quote = '"' if " " in str(web.root) else ""
    application = f"[fullPath='{quote}{python}{quote}',arguments='{quote}{bridge}{quote}'"
    start = ["appcmd", "set", "config", "/section:system.webServer/fastCgi"]
    assert adding == [*start, f"/+{application},signalBeforeTerminateSeconds='30']", "/commit:apphost"]
    named = f"/+{application}].environmentVariables."
    assert variables[: len(start)] == start
    assert f"{named}[name='ROLE_ENVIRONMENT',value='C:/role.json']" in variables
    assert f"{named}[name='EMULATED',value='false']" in variables
    assert web.processor() == f"{quote}{python}{quote}|{quote}{bridge}{quote}"
    assert bridge.is_file()
    assert (web.approot / "web.config.bak").read_bytes() == original
    steps = ("configuring web_IN_0", "-m venv", "--isolated", "dism", "appcmd", "wrote", "done")
    places = [said.index(step) for step in steps]
    assert places == sorted(places)
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in said.splitlines() if "running" in line)
    before = files(web.root)
    again = web.ok(ROLE_ENVIRONMENT="C:/role.json")
    assert web.calls() == [features, unlock, listing]
    assert files(web.root) == before
    for words in ("installed already", "registered with FastCGI already", "is right already"):
        assert words in again


def test_a_variable_with_another_value_is_changed_alone(web):
    web.ok(ROLE_ENVIRONMENT="C:/one.json")
    web.calls()
    web.ok(ROLE_ENVIRONMENT="C:/two.json")
    _, _, _, changed = web.calls()
    assert [word.rpartition("].")[2] for word in changed[4:]] == ["value:C:/two.json", "/commit:apphost"]
    assert "environmentVariables.[name='ROLE_ENVIRONMENT']" in changed[4]


def test_the_variant_for_a_host_takes_the_place_of_web_config_and_the_first_one_is_kept(web):
    original = web.config.read_bytes()
    variant = web.approot / "web.cloud.config"
    for title in ("one", "two"):
        variant.write_text(original.decode().replace("app.wsgi_app", f"app.{title}"))
        web.ok()
        assert f"app.{title}" in web.config.read_text()
        assert "wfastcgi.py" in web.processor()
        assert "%FASTCGIHANDLER%" in variant.read_text()
        assert (web.approot / "web.config.bak").read_bytes() == original


def test_the_emulator_of_the_sdk_gets_its_own_variant_and_no_features(web):
    (web.approot / "web.emulator.config").write_text(web.config.read_text().replace("app.wsgi_app", "app.local"))
    (web.approot / "web.cloud.config").write_text("never read")
    command = f'"{web.programs / "appcmd"}" /apphostconfig:"a b.config"'
    web.ok(EMULATED="true", appcmd=command)
    assert "app.local" in web.config.read_text()
    first, *_ = calls = web.calls()
    assert first == ["appcmd", "/apphostconfig:a b.config", "list", "config", "/section:system.webServer/fastCgi"]
    assert all(call[0] == "appcmd" for call in calls)


def test_rolepacks_emulator_leaves_everything_as_it_is(web):
    before = files(web.root)
    assert "the emulator serves the site" in web.ok(EMULATED="true")
    assert files(web.root) == before
    assert not web.calls()


HANDLER = '<add name="PythonHandler" path="*" scriptProcessor="{}" />'


@pytest.mark.parametrize(
    ("codec", "mark"), [("utf-8", ""), ("utf-8", "\ufeff"), ("utf-16-le", "\ufeff"), ("windows-1252", "")]
)
def test_every_other_byte_of_a_web_config_stays(web, codec, mark):
    declared = "utf-16" if codec.startswith("utf-16") else codec
    text = (
        f'{mark}<?xml version="1.0" encoding="{declared}"?>\r\n<!-- Zürich > "here" -->\r\n<configuration>\r\n'
        '\t<system.webServer><handlers>\r\n\t\t<add  name = "pythonhandler"\tscriptProcessor=\'x\' verb="a>b" />\r\n'
        "\t\t<add note='scriptProcessor=\"x\"' name='PYTHONHANDLER'  />\r\n"
        '\t\t<add name="Static" scriptProcessor="none" />\r\n\t</handlers></system.webServer>\r\n'
        '\t<location path="ü"><system.webServer><handlers><add name="PythonHandler"/></handlers></system.webServer>'
        '</location>\r\n\t<other><add name="PythonHandler" scriptProcessor="kept" /></other>\r\n</configuration>\r\n'
    )
    web.config.write_bytes(text.encode(codec))
    web.ok()
    content = web.config.read_bytes().decode(codec)
    processor = re.search('scriptProcessor="(.*?wfastcgi.*?)"', content)[0]
    expected = text.replace("scriptProcessor='x'", processor).replace(
        '<add name="PythonHandler"/>', f'<add name="PythonHandler" {processor}/>'
    )
    expected = expected.replace("name='PYTHONHANDLER'  />", f"name='PYTHONHANDLER' {processor}  />")
    assert content == expected


def test_every_site_of_the_role_is_configured(web):
    shutil.copytree(web.approot, web.root / "sitesroot" / "1", ignore=shutil.ignore_patterns("wheelhouse", ".rolepack"))
    web.model("web", {"Web": "approot", "Shop": "sitesroot\\1"})
    web.ok()
    assert web.processor() == web.processor(web.root / "sitesroot" / "1" / "web.config") != "%FASTCGIHANDLER%"


def test_a_root_that_is_a_drive_is_read_as_its_top(web):
    # Azure's RoleRoot has no separator at its end, and E: alone is where a process stands on that drive.
    (web.root / "sub").mkdir()
    web.ok(RoleRoot=f"{web.root}/sub/..")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("<configuration><a></configuration>", "web.config is no XML: mismatched tag: line 1"),
        ('<?xml version="1.0" encoding="martian"?><configuration/>', "web.config is no XML: unknown encoding: martian"),
        (None, "web.config is not there: the site needs one that names its application in WSGI_HANDLER"),
    ],
)
def test_a_web_config_that_cannot_be_read_fails_the_task_and_stays(web, config, told):
    web.config.unlink()
    if config is not None:
        web.config.write_text(config)
    before = files(web.approot / "bin")
    assert told in web.fails()
    assert files(web.approot / "bin") == before
    assert not (web.approot / "web.config.bak").exists()
    assert config is None or web.config.read_text() == config


def test_a_site_that_iis_runs_otherwise_keeps_its_web_config(web):
    web.config.write_text("<configuration><system.webServer><httpPlatform /></system.webServer></configuration>")
    before = web.config.read_bytes()
    assert "no handler is called PythonHandler" in web.ok()
    assert web.config.read_bytes() == before


@pytest.mark.parametrize(("code", "told"), [("0", "done"), ("87", "dism ended with exit code 87")])
def test_the_features_are_enabled_or_the_task_fails(web, code, told):
    assert told in (web.ok if code == "0" else web.fails)(DISM=code)
    assert len(web.calls()) == (5 if code == "0" else 1)


def test_a_missing_bridge_fails_the_task(web):
    (web.approot / "requirements.lock").unlink()
    web.bring("other")
    assert "wfastcgi.py is not there: add wfastcgi to requirements.txt" in web.fails()


def test_a_wheel_that_is_missing_fails_the_task_before_anything_else(web):
    web.bring("tool", "2.5").unlink()
    assert "tool==2.5" in web.fails()
    assert not web.calls()
    assert "%FASTCGIHANDLER%" in web.config.read_text()


def test_a_wheel_with_another_hash_fails_the_task(worker):
    wheel = worker.bring("tool")
    make_wheel(wheel.parent, "tool", "1.0", requires=("other",))
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in worker.fails()


def test_wheels_for_another_python_are_refused(worker):
    worker.bring("tool")
    lock = worker.approot / "requirements.lock"
    lock.write_text(re.sub("# python .*", "# python 3.7.9 win_amd64", lock.read_text()))
    told = worker.fails()
    assert "wheels are for Python 3.7, and this is" in told
    assert "let PYTHON name a Python 3.7, or package with --python" in told


def test_packages_are_installed_again_when_the_lock_changes_or_an_attempt_was_cut_short(worker):
    worker.bring("tool")
    assert "pip" in worker.ok()
    assert "installed already" in worker.ok()
    worker.bring("other")
    worker.ok()
    assert list((worker.approot / ".rolepack/env").rglob("other.py"))
    next((worker.approot / ".rolepack/env").rglob("tool.py")).unlink()  # as a kill may leave it
    (worker.approot / ".rolepack/env/installed.txt").unlink()
    worker.ok()
    assert list((worker.approot / ".rolepack/env").rglob("tool.py"))


def test_a_python_without_pip_installs_packages_too(worker, tmp_path):
    worker.bring("tool")
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    worker.ok(python=bare / "bin" / "python")
    assert list((worker.approot / ".rolepack/env").rglob("tool.py"))


def test_no_index_is_asked_and_nothing_is_built(worker, index):
    worker.bring("tool").unlink()
    make_wheel(index.root, "tool", "1.0")
    index.add(make_wheel(index.root / "files", "tool", "1.0"))
    said = worker.fails(PIP_INDEX_URL=index.root.as_uri())
    assert "--no-index --find-links" in said
    assert "--only-binary :all: --require-hashes" in said
    assert "tool==1.0" in said


def test_a_package_of_the_roles_own_that_is_called_env_stays(worker):
    (worker.approot / "env").mkdir()
    (worker.approot / "env" / "__init__.py").write_text("mine = 1\n")
    worker.bring("tool")
    worker.ok()
    assert (worker.approot / "env" / "__init__.py").read_text() == "mine = 1\n"


def test_a_role_without_packages_says_which_python_it_has_too(worker):
    worker.ok()
    assert (worker.approot / ".rolepack/python.txt").read_text() == sys.executable


def test_settings_of_the_machine_for_pip_do_not_reach_the_role(worker, tmp_path):
    worker.bring("tool")
    (tmp_path / "pip.conf").write_text("[install]\nuser = true\ntarget = /nowhere\n")
    worker.ok(PIP_CONFIG_FILE=str(tmp_path / "pip.conf"), PIP_REQUIRE_VIRTUALENV="1")


def test_django_collects_its_static_files_before_the_site_starts(shop, tmp_path):
    add_role(shop, "site", "web", "django")
    host = Host(tmp_path / "root", shop / "roles" / "site", tmp_path / "programs")
    (host.approot / "manage.py").write_text("import sys\nprint(sys.argv)\nsys.exit(3)\n")
    told = host.fails(EMULATED="true")
    assert "['collectstatic', '--noinput']" in told.replace(f"'{host.approot / 'manage.py'}', ", "")
    assert "ended with exit code 3" in told


SHOW = """
import json, os, sys
print(json.dumps([sys.argv[1:], os.getcwd(), os.environ.get("PYTHONPATH"), sys.stdout.line_buffering, sys.executable]))
sys.exit(9)
"""


def test_launch_worker_passes_arguments_environment_and_exit_code(worker):
    (worker.approot / "show.py").write_text(SHOW)
    words = ["two words", "", 'a "quote"', "back\\slash"]
    done = worker.run(
        "LaunchWorker.py",
        "show.py",
        *words,
        PYTHONPATH=r"lib; %RoleRoot%\approot\more ;;%nothing%",
        PYTHONUNBUFFERED="",
    )
    assert done.returncode == 9, done.stderr
    arguments, cwd, path, _, python = json.loads(done.stdout)
    assert arguments == words
    assert cwd == str(worker.approot)
    assert path == f"{worker.approot / 'lib'}:{worker.root / 'approot/more'}"
    assert python == sys.executable


def test_what_a_worker_prints_is_there_at_once(worker):
    (worker.approot / "show.py").write_text("import time\nprint('first', end='')\ntime.sleep(60)\n")
    argv = [sys.executable, worker.approot / "bin/LaunchWorker.py", "show.py"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as running:
        assert os.read(running.stdout.fileno(), 100) == b"first"
        running.kill()
