"""Every kind and framework: what is scaffolded has no lint, passes its own tests, runs, and can be packaged."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from conftest import add_role, get, status_of, until

from packager import blueprint
from packager.blueprint import FRAMEWORKS, NewRole
from packager.scaffold import Templates

pytestmark = pytest.mark.network
RULES = "E,F,W,I,N,UP,ANN,B,A,C4,PIE,RET,PTH,ERA,PL,RUF"
KINDS = [*(("web", framework) for framework in FRAMEWORKS), ("worker", "")]
each_kind = pytest.mark.parametrize(("kind", "framework"), KINDS, ids=lambda value: value or "none")


@pytest.fixture
def place(tmp_path, kind, framework):
    """A service with one role."""
    root = tmp_path / "shop"
    made = blueprint.plan_service(root, "shop", [NewRole("first", kind, framework)], Templates())
    blueprint.write(made)
    return root


def environment(place: Path) -> Path:
    """The interpreter of the role's environment, once the emulator has made it."""
    (python,) = place.glob(".rolepack/environments/first/*/bin/python")
    return python


@each_kind
def test_it_is_typed_and_has_no_lint(place, kind, framework):
    tools, role = Path(sys.executable).parent, place / "roles" / "first"
    settings = ["--isolated", "--no-cache", "--line-length", "120", "--target-version", "py311"]
    for words in (["check", "--select", RULES], ["format", "--check"]):
        argv = [tools / "ruff", *words, *settings, "."]
        done = subprocess.run(argv, cwd=role, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    # The framework itself is not here, so that what it gives is of any type.
    untyped = (
        "--ignore-missing-imports",
        "--allow-untyped-decorators",
        "--allow-subclassing-any",
        "--no-warn-return-any",
    )
    argv = [tools / "mypy", "--config-file", os.devnull, "--strict", *untyped, "--cache-dir", place / "cache", "."]
    done = subprocess.run(argv, cwd=role, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@each_kind
def test_it_runs_at_once_and_passes_its_own_tests(place, kind, framework, rolepack):
    rolepack.ok("emulate", "--detach", cwd=place)
    now = rolepack.status(place)
    if kind == "web":
        url = now["endpoints"]["first/Endpoint1"]
        page = get(url).decode()
        assert "first_IN_0" in page
        for link in re.findall('href="([^"]+)"', page):
            assert b"sans-serif" in get(url + link)
        assert get(f"{url}/health") == b"ok"
        assert status_of(f"{url}/nothing") == 404
    else:
        until(lambda: "first_IN_0 is at work" in rolepack.ok("logs", cwd=place))
    words = ["manage.py", "test"] if framework == "django" else ["-m", "unittest"]
    argv = [environment(place), "-W", "error", *words]
    done = subprocess.run(argv, cwd=place / "roles/first", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"Ran [2-9] tests", done.stderr)
    assert not now["instances"][0]["restarts"]


@each_kind
def test_it_can_be_packaged(place, kind, framework, rolepack):
    rolepack.ok("package", cwd=place)
    with zipfile.ZipFile(place / "dist/shop.cspkg") as bundle:
        manifest = bundle.read("package.xml").decode()
    wanted = {"django": "django-", "flask": "markupsafe-", "bottle": "bottle-", "wsgi": "wfastcgi-", "": "worker.py"}
    assert wanted[framework] in manifest
    assert "\\approot\\bin\\ConfigureCloudService.py" in manifest


def test_django_takes_its_settings_from_the_configuration(tmp_path, rolepack):
    place = tmp_path / "shop"
    blueprint.write(blueprint.plan_service(place, "shop", [], Templates()))
    add_role(place, "first", "web", "django")
    local = (place / "ServiceConfiguration.Local.cscfg").read_text()
    secret = re.search('"SECRET_KEY" value="(.{60,})"', local)[1]
    assert secret not in "".join(path.read_text() for path in place.rglob("*.py"))
    cloud = ("emulate", "--detach", "--configuration", "Cloud")
    refused = rolepack(*cloud, cwd=place)
    assert refused.returncode == 1
    assert (
        "Without DEBUG, the site needs the settings SECRET_KEY, ALLOWED_HOSTS. Give them values: `invoke set"
        in refused.stdout
    )
    settings = ("SECRET_KEY=a secret", "ALLOWED_HOSTS=shop.example", "DATABASE_URL=sqlite:////nowhere/x")
    rolepack.ok("set", "first", *(word for each in settings for word in ("--setting", each)), cwd=place)
    rolepack.ok(*cloud, cwd=place)
    url = rolepack.status(place)["endpoints"]["first/Endpoint1"]
    # Collected, with its hash in its name: as it is served where DEBUG is off.
    (link,) = re.findall('href="(/static/home/site\\.[0-9a-f]{12}\\.css)"', get(url).decode())
    assert b"sans-serif" in get(url + link)
    code = "import config.settings as s; print(s.DEBUG, s.SECRET_KEY, s.ALLOWED_HOSTS, s.DATABASES['default']['NAME'])"
    document = place / ".rolepack/emulator/roles/first_IN_0/role-environment.json"
    environ = {**os.environ, "ROLE_ENVIRONMENT": str(document), "WEBSITE_HOSTNAME": "web.example"}
    argv = [environment(place), "-c", code]
    shown = subprocess.run(argv, cwd=place / "roles/first", env=environ, capture_output=True, text=True, check=True)
    assert shown.stdout.split("\n")[0] == "False a secret ['shop.example', 'web.example'] /nowhere/x"
    assert not list((place / "roles").rglob("*.pyc"))
    assert not (place / "roles/first/.rolepack").exists()
    for words, told in ((("migrate",), "Applying auth.0001_initial... OK"), (("diffsettings",), "signed_cookies")):
        argv = [environment(place), "manage.py", *words]
        done = subprocess.run(argv, cwd=place / "roles/first", capture_output=True, text=True, check=True)
        assert told in done.stdout


def run_step(text: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Run a step as CI does, which has a `python`."""
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    argv = ["bash", "-e", "-c", text]
    return subprocess.run(argv, cwd=place, env=environ, capture_output=True, text=True, check=False)


def steps(place: Path, name: str) -> list[str]:
    """The commands of a CI example that this machine can run, in order."""
    found = yaml.safe_load((place / name).read_text())
    jobs = found["steps"] if "steps" in found else found["jobs"]["service"]["steps"]
    lines = [step.get("run") or step.get("script") or step.get("bash") for step in jobs]
    return [line for line in lines if line and "pip install" not in line.splitlines()[0] and "logs" not in line]


@pytest.mark.parametrize("name", [".github/workflows/service.yml", "azure-pipelines.yml"])
def test_the_examples_for_ci_do_what_they_say(tmp_path, rolepack, name):
    rolepack.ok("new-service", "shop", "--web", "site", "--worker", "jobs", "--worker", "mail", cwd=tmp_path)
    place = tmp_path / "shop"
    rolepack.folders.add(place)
    commands = steps(place, name)
    for text in commands:
        done = run_step(text, place)
        assert done.returncode == 0, done.stdout + done.stderr
    said = "\n".join(commands)
    assert [word for word in re.findall(r"invoke (\w+)", said) if word != "status"] == [
        *("check", "emulate", "stop", "package")
    ]
    made = {path.name for path in (place / "dist").iterdir()}
    assert made == {"shop.cspkg", "shop.cdx.json", "ServiceConfiguration.Cloud.cscfg"}
    assert "dist" in (place / name).read_text()


def test_a_failing_test_of_a_role_fails_the_example_for_ci(tmp_path, rolepack):
    rolepack.ok("new-service", "shop", "--worker", "jobs", "--worker", "mail", cwd=tmp_path)
    place = tmp_path / "shop"
    (place / "roles/jobs/worker.py").write_text("raise RuntimeError\n")
    (text,) = [text for text in steps(place, "azure-pipelines.yml") if "unittest" in text]
    done = run_step(text, place)
    assert done.returncode == 1
    assert "RuntimeError" in done.stderr


def test_a_web_config_for_the_emulator_takes_the_place_of_the_other(tmp_path, rolepack):
    place = tmp_path / "shop"
    blueprint.write(blueprint.plan_service(place, "shop", [NewRole("first", "web", "wsgi")], Templates()))
    role = place / "roles/first"
    (role / "Web.Emulator.config").write_text((role / "web.config").read_text().replace("app.wsgi_app", "local.app"))
    shutil.copy(role / "app.py", role / "local.py")
    with (role / "local.py").open("a") as program:
        program.write(
            "\n\ndef app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'local']\n"
        )
    rolepack.ok("emulate", "--detach", cwd=place)
    assert get(rolepack.status(place)["endpoints"]["first/Endpoint1"]) == b"local"
