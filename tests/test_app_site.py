"""Settings, git deployments, packages and diagnosis of apps for App Service on Linux, and web roles hosted there."""

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import get, make_wheel, until
from hosted import lay
from test_app_run import FLASK, running

from cloudservice import app_settings
from cloudservice.appservice import home_of
from packager.appservice import parcel, repository

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
needs_bash = pytest.mark.skipif(os.name == "nt", reason="needs bash")


@pytest.fixture
def app(tmp_path):
    return lay(tmp_path / "shop", {"app.py": FLASK})


# Settings


def test_settings_are_shown_with_their_files_and_secrets_are_not(app, rolepack):
    lay(app, {".env": "A=1\nB=2\n", "appsettings.json": '{"B": 3, "C": true}'})
    subprocess.run(rolepack.argv("webapp-settings", app, "--secret", "KEY"), input="s3cret", text=True, check=True)
    told = json.loads(rolepack.ok("webapp-settings", app, "--json", cwd=app))
    assert [(one["name"], one["value"], one["origin"]) for one in told] == [
        ("A", "1", ".env"),
        ("B", "3", "appsettings.json"),
        ("C", "true", "appsettings.json"),
        ("KEY", None, ".rolepack/secrets.json"),
    ]
    said = rolepack.ok("webapp-settings", app, cwd=app)
    assert "s3cret" not in said
    assert said.splitlines()[-2:] == ["  KEY  (secret)  .rolepack/secrets.json", "4 settings."]
    assert stat.S_IMODE((app / ".rolepack/secrets.json").stat().st_mode) == 0o600
    assert (app / ".rolepack/.gitignore").read_text() == "*\n"


def test_setting_keeps_what_is_there_and_moves_what_becomes_a_secret(app, rolepack):
    listed = '[{"name": "A", "slotSetting": true, "value": "1"}, {"name": "B", "slotSetting": false, "value": "2"}]'
    lay(app, {"appsettings.json": listed})
    rolepack.ok("webapp-settings", app, "--set", "A=9", "--set", "C=x=y", cwd=app)
    argv = rolepack.argv("webapp-settings", app, "--secret", "B")
    subprocess.run(argv, input="s3cret\n", text=True, check=True)
    assert json.loads((app / "appsettings.json").read_text()) == [
        {"name": "A", "slotSetting": True, "value": "9"},
        {"name": "C", "slotSetting": False, "value": "x=y"},
    ]
    assert app_settings.environment(app) == {"A": "9", "C": "x=y", "B": "s3cret"}
    assert app_settings.load(app)["B"].is_secret
    assert "'B' is a secret, and would lie readable" in rolepack.refused(
        "webapp-settings", app, "--set", "B=x", cwd=app
    )
    (app / ".rolepack/secrets.json").chmod(0o644)
    rolepack.ok("webapp-settings", app, "--remove", "B", "--remove", "A", cwd=app)
    assert json.loads((app / ".rolepack/secrets.json").read_text()) == []
    assert stat.S_IMODE((app / ".rolepack/secrets.json").stat().st_mode) == 0o600
    assert app_settings.environment(app) == {"C": "x=y"}
    assert "there is no setting 'Z'" in rolepack.refused("webapp-settings", app, "--remove", "Z", cwd=app)


def test_secrets_may_have_many_lines_and_come_together(app, rolepack):
    argv = rolepack.argv("webapp-settings", app)
    subprocess.run([*argv, "--secret", "PEM"], input="one\ntwo\n", text=True, check=True)
    subprocess.run([*argv, "--secret", "A", "--secret", "B"], input="1\n2\n", text=True, check=True)
    assert app_settings.environment(app) == {"PEM": "one\ntwo", "A": "1", "B": "2"}
    done = subprocess.run([*argv, "--secret", "A", "--secret", "B"], input="3\n", text=True, check=False)
    assert done.returncode == 1
    assert app_settings.environment(app)["A"] == "1"


BAD_SETTINGS = [
    ({"appsettings.json": "{"}, "appsettings.json:1: it is no JSON"),
    ({"appsettings.json": '"text"'}, "is no setting"),
    ({"appsettings.json": '[{"name": "A"}]'}, '{"name": "A"} is no setting'),
    ({"appsettings.json": '[{"name": "A=B", "value": "1"}]'}, "'A=B' is no name of a setting"),
    ({".env": "A=1\n=2\n"}, ".env:2: it is no setting"),
    ({"appsettings.json": '[{"name": "A", "value": "a\\u0000b"}]'}, "is no setting"),
    ({"appsettings.json": '[{"name": "A", "value": "\\ud800"}]'}, "is no setting"),
    ({"appsettings.json": '{"A-B": "1"}'}, "'A-B' is no name of a setting"),
]


@pytest.mark.parametrize(("files", "wrong"), BAD_SETTINGS)
def test_settings_that_cannot_be_read_are_told(app, rolepack, files, wrong):
    lay(app, files)
    for words in (["webapp-settings", app], ["webapp-settings", app, "--set", "X=1"], ["webapp-build", app]):
        assert wrong in rolepack.refused(*words, cwd=app)
    assert {name: (app / name).read_text() for name in files} == files


def test_what_is_set_needs_a_value_and_a_name(app, rolepack):
    assert "'A' has no value" in rolepack.refused("webapp-settings", app, "--set", "A", cwd=app)
    assert "'' is no name of a setting" in rolepack.refused("webapp-settings", app, "--set", "=1", cwd=app)
    assert "there is no such folder" in rolepack.refused("webapp-settings", "nowhere", cwd=app)


def test_secrets_that_are_wrong_are_not_shown(app, rolepack):
    lay(app, {".rolepack/secrets.json": '[{"name": "KEY", "value": ["s3cret"]}]'})
    assert "s3cret" not in rolepack.refused("webapp-settings", app, cwd=app)


# Deployments by git


class Repository:
    """The app's own git repository, from which is pushed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "-q", "-b", "main")

    def git(self, *words: str) -> subprocess.CompletedProcess[str]:
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        return subprocess.run(["git", *identity, *words], cwd=self.folder, capture_output=True, text=True, check=False)

    def push(self, message: str, branch: str = "main") -> str:
        """Commit everything and push it; what the remote said."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        pushed = self.git("push", "azure", f"HEAD:{branch}")
        assert pushed.returncode == 0, pushed.stderr
        return "".join(line.removeprefix("remote: ").rstrip() + "\n" for line in pushed.stderr.splitlines())


@pytest.fixture
def repo(app, tmp_path, rolepack, index, image, fresh):
    index.add(make_wheel(tmp_path / "wheels", "tiny", "1.0"))
    lay(app, {"requirements.txt": "tiny\n", ".gitignore": "__pycache__/\n"})
    made = Repository(app)
    said = rolepack.ok("webapp-git", app, cwd=app)
    assert said.splitlines()[-1] == "Next: git push azure main"
    return made


@needs_bash
def test_a_push_deploys_and_a_failing_one_keeps_what_runs(app, repo, rolepack):
    said = repo.push("one")
    assert "Updating branch 'main'." in said
    assert "Running pip install..." in said
    assert "Deployment successful." in said
    with running(rolepack, app) as one:
        pid = one.about()["pid"]
        (app / "requirements.txt").write_text("tiny==9\n")
        (app / "app.py").write_text("broken(")
        said = repo.push("two")
        assert "Please review your requirements.txt" in said
        assert "Error - Changes committed to remote repository but deployment to website failed." in said
        assert one.about()["pid"] == pid
        (app / "requirements.txt").write_text("tiny\n")
        (app / "app.py").write_text(FLASK.replace('{"environ"', '{"new": 1, "environ"'))
        assert "Deployment successful." in repo.push("three")
        until(lambda: one.said.count(" is at http") == 2)
        assert one.about()["new"] == 1
    told = json.loads(rolepack.ok("webapp-deployments", app, "--json", cwd=app))
    commits = repo.git("log", "--format=%H").stdout.split()
    assert [(one["id"], one["status"], one["active"]) for one in told] == [
        (commits[0], "success", True),
        (commits[1], "failed", False),
        (commits[2], "success", False),
    ]


@needs_bash
def test_of_pushes_at_once_the_last_one_is_deployed(app, repo, rolepack):
    rolepack.ok("webapp-settings", app, "--set", "PRE_BUILD_COMMAND=sleep 1", cwd=app)
    pushes = []
    for number in range(4):
        lay(app, {"number.txt": str(number)})
        repo.git("add", "-A")
        repo.git("commit", "-q", "-m", str(number))
        pushes.append(
            subprocess.Popen(["git", "push", "azure", "HEAD:main"], cwd=app, stderr=subprocess.PIPE, text=True)
        )
        until(lambda: repo.git("ls-remote", "azure", "main").stdout[:40] == repo.git("rev-parse", "HEAD").stdout[:40])
    said = "".join(push.communicate()[1] for push in pushes)
    assert [push.returncode for push in pushes] == [0] * 4
    assert (home_of(app).wwwroot / "number.txt").read_text() == "3"
    assert "a later push has taken the place of" in said
    told = json.loads(rolepack.ok("webapp-deployments", app, "--json", cwd=app))
    assert "superseded" in {one["status"] for one in told}


@needs_bash
def test_what_is_no_longer_in_a_commit_is_not_deployed(app, repo):
    lay(app, {"old.txt": "x"})
    repo.push("one")
    assert (home_of(app).folder / "site/repository/old.txt").exists()
    (app / "old.txt").unlink()
    repo.push("two")
    assert not (home_of(app).folder / "site/repository/old.txt").exists()


@needs_bash
def test_other_branches_and_commits_that_ask_for_it_are_not_deployed(app, repo, rolepack):
    assert "Nothing is deployed: that is done for master and main." in repo.push("one", "feature")
    assert "is skipped, as its message asks." in repo.push("two [skip azurewebsites]")
    rolepack.ok("webapp-settings", app, "--set", "DEPLOYMENT_BRANCH=release", cwd=app)
    assert "Nothing is deployed: that is done for release." in repo.push("three")
    assert not home_of(app).wwwroot.exists()
    assert "Deployment successful." in repo.push("four", "release")


@needs_bash
def test_a_deployment_file_names_the_project_a_command_and_settings(app, repo):
    lay(app, {".deployment": "[config]\nproject = web\n", "web/app.py": "x = 1\n"})
    repo.push("one")
    assert (home_of(app).wwwroot / "app.py").read_text() == "x = 1\n"
    lay(app, {".deployment": "[config]\nSCM_DO_BUILD_DURING_DEPLOYMENT = false\n"})
    shutil.rmtree(home_of(app).wwwroot)
    assert "the files are deployed as they are" in repo.push("two")
    assert not (home_of(app).wwwroot / "antenv").exists()
    command = 'test -f "$DEPLOYMENT_SOURCE/app.py"; echo by hand > "$DEPLOYMENT_TARGET/made.txt"'
    lay(app, {".deployment": "[config]\ncommand = bash deploy.sh\n", "deploy.sh": f"set -e\n{command}\n"})
    assert "Running custom deployment command: bash deploy.sh" in repo.push("three")
    assert (home_of(app).wwwroot / "made.txt").read_text() == "by hand\n"
    assert (home_of(app).wwwroot / "app.py").exists()
    lay(app, {"deploy.sh": "rm $DEPLOYMENT_TARGET/app.py\n"})
    repo.push("removed")
    assert not (home_of(app).wwwroot / "app.py").exists()
    lay(app, {"deploy.sh": "rm -rf $DEPLOYMENT_TARGET/*; exit 4\n"})
    assert "the build ended with exit code 4" in repo.push("four")
    assert (home_of(app).wwwroot / "made.txt").exists()


BAD_DEPLOYMENTS = [
    ("[config]\nproject = ../..\n", "which leads out of the repository"),
    ("[config]\nproject = nowhere\n", "which is no folder"),
    ("project = web\n", "it cannot be read"),
]


@pytest.mark.parametrize(("text", "wrong"), BAD_DEPLOYMENTS)
def test_a_deployment_file_that_cannot_be_is_refused(tmp_path, text, wrong):
    with pytest.raises(Exception, match=wrong):
        repository.load_deployment(lay(tmp_path / "repository", {".deployment": text}))


@needs_bash
def test_the_remote_is_made_without_a_repository_too(app, rolepack, tmp_path):
    said = rolepack.ok("webapp-git", app, "--runtime", f"PYTHON|{HERE}", cwd=app)
    remote = home_of(app).folder / "shop.git"
    assert said.splitlines()[-1] == f"Next: git remote add azure {remote}; git push azure main"
    assert rolepack.refused("webapp-git", app, "--runtime", "NODE|20", cwd=app)
    Repository(app)
    assert rolepack.ok("webapp-git", app, cwd=app).splitlines()[-1] == "Next: git push azure main"
    other = Repository(lay(tmp_path / "other", {"app.py": ""}))
    other.git("remote", "add", "azure", "https://example.org/app.git")
    rolepack.ok("webapp-git", other.folder, cwd=app)
    assert other.git("remote", "get-url", "azure").stdout == "https://example.org/app.git\n"


# Packages


def test_a_package_holds_the_sources_and_no_settings(app, rolepack, tmp_path):
    lay(
        app,
        {
            "requirements.txt": "",
            "static/ä b.css": "x",
            "run.sh": "#!/bin/sh\n",
            ".env": "A=1",
            "web/.ENV.production": "A=1",
            "web/appsettings.json": "[]",
            "appsettings.json": "[]",
            "key.txt": "-----BEGIN RSA PRIVATE KEY-----\n",
            ".rolepack/secrets.json": "[]",
            ".git/config": "",
            "venv/pyvenv.cfg": "",
            "__pycache__/app.pyc": "",
            "notes/secret.txt": "",
            ".rolepackignore": "notes/\n",
        },
    )
    (app / "run.sh").chmod(0o700)
    said = rolepack.ok("webapp-package", app, cwd=tmp_path)
    with zipfile.ZipFile(tmp_path / "shop.zip") as archive:
        assert archive.testzip() is None
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
    assert modes == {
        "app.py": 0o100644,
        "key.txt": 0o100644,
        "requirements.txt": 0o100644,
        "run.sh": 0o100755,
        "static/ä b.css": 0o100644,
    }
    for name in ("appsettings.json", ".env", "web/.ENV.production", "web/appsettings.json"):
        assert f"\n{name} is left out: settings stay on this machine" in f"\n{said}"
    assert "warning: key.txt: line 1: it holds a private key" in said
    assert "--settings SCM_DO_BUILD_DURING_DEPLOYMENT=1" in said
    line = "az webapp deploy --resource-group <resource-group> --name <app> --src-path shop.zip --type zip"
    assert said.splitlines()[-1] == f"      2. {line}"
    first = hashlib.sha256((tmp_path / "shop.zip").read_bytes()).hexdigest()
    os.utime(app / "app.py", (0, 0))
    (app / "app.py").chmod(0o600)
    told = json.loads(rolepack.ok("webapp-package", app, "--json", cwd=tmp_path))
    assert (told["sha256"], told["deploy"], told["python"]) == (first, line, None)


def test_a_prebuilt_package_has_wheels_for_linux_and_runs_without_a_build(app, rolepack, tmp_path, index, image, fresh):
    tag = f"cp{HERE.replace('.', '')}-cp{HERE.replace('.', '')}-manylinux_2_17_x86_64"
    index.add(make_wheel(tmp_path / "wheels", "tiny", "1.0", tag, requires=("other; sys_platform == 'linux'",)))
    index.add(make_wheel(tmp_path / "wheels", "tiny", "1.0", "cp312-cp312-win_amd64"))
    index.add(make_wheel(tmp_path / "wheels", "other", "2.0"))
    lay(app, {"requirements.txt": "tiny\n"})
    said = rolepack.ok("webapp-package", app, "--prebuilt", "--runtime", f"PYTHON|{HERE}", cwd=tmp_path)
    assert f"2 packages for Linux x64, CPython {HERE} into shop.zip" in said
    assert "--settings SCM_DO_BUILD_DURING_DEPLOYMENT=0" in said
    place = f"antenv/lib/python{HERE}/site-packages"
    assert {f"{place}/tiny.py", f"{place}/other.py", "app.py"} <= set(zipfile.ZipFile(tmp_path / "shop.zip").namelist())
    lock = next(app.glob("requirements.manylinux_2_28_x86_64-*.lock")).read_text()
    assert "tiny==1.0" in lock
    first = (tmp_path / "shop.zip").read_bytes()
    index.add(make_wheel(tmp_path / "wheels", "other", "2.1"))
    rolepack.ok("webapp-package", app, "--prebuilt", "--runtime", f"PYTHON|{HERE}", cwd=tmp_path)
    assert (tmp_path / "shop.zip").read_bytes() == first
    if os.name != "nt":
        rolepack.ok("webapp-build", "shop.zip", cwd=tmp_path)
        with running(rolepack, tmp_path / "shop.zip") as one:
            found = json.loads(one.get("/tiny"))
            assert found["file"].endswith(f"/{place}/tiny.py")
            assert "VIRTUAL_ENV" not in one.about()["environ"]


def test_what_cannot_be_packaged_is_told(app, rolepack, tmp_path, index):
    lay(tmp_path, {"elsewhere.txt": ""})
    (app / "link.txt").symlink_to(tmp_path / "elsewhere.txt")
    refused = rolepack.refused("webapp-package", app, cwd=tmp_path)
    assert "it is a link out of the app's folder" in refused
    (app / "link.txt").unlink()
    lay(app, {".rolepack/secrets.json": "[]"})
    (app / "link.json").symlink_to(".rolepack/secrets.json")
    assert "it is a link to settings" in rolepack.refused("webapp-package", app, cwd=tmp_path)
    (app / "link.json").unlink()
    (tmp_path / "nothing").mkdir()
    assert "there is nothing to deploy in it" in rolepack.refused("webapp-package", "nothing", cwd=tmp_path)
    lay(app, {"requirements.txt": "absent\n"})
    assert "absent" in rolepack.refused("webapp-package", app, "--prebuilt", cwd=tmp_path)
    assert not (tmp_path / "shop.zip").exists()
    assert "'NODE|20' is no Python" in rolepack.refused("webapp-package", app, "--runtime", "NODE|20", cwd=tmp_path)


def test_a_package_that_is_too_large_is_refused(app, tmp_path, monkeypatch):
    monkeypatch.setattr(parcel, "MOST_BYTES", 10)
    planned = parcel.plan(app, tmp_path / "shop.zip", None, False, lambda *_: None)
    with pytest.raises(Exception, match="it would be larger than 10 bytes"):
        parcel.write(tmp_path / "shop.zip", planned)
    assert not (tmp_path / "shop.zip").exists()


# Diagnosis

GOOD = """
import os
SECRET_KEY = os.environ["SECRET_KEY"]
DEBUG = os.environ.get("DEBUG") == "1"
ALLOWED_HOSTS = [os.environ["WEBSITE_HOSTNAME"]]
INSTALLED_APPS = ["django.contrib.staticfiles"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "whitenoise.middleware.WhiteNoiseMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "OPTIONS": {"sslmode": "require"}}}
STATIC_ROOT = "static"
"""
MANAGE = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site1.settings")\n'
DJANGO = {"manage.py": MANAGE, "site1/wsgi.py": "application = None\n", "requirements.txt": "django\nwhitenoise\n"}
PLAIN = {"app.py": "app = 1\n", "requirements.txt": ""}
FOUND = [
    ({**PLAIN, "go.sh": "a\r\n"}, "go.sh", ["its lines end as on Windows"]),
    ({**PLAIN}, "nowhere.sh", ["there is no file 'nowhere.sh' in the app"]),
    ({**PLAIN}, "gunicorn -b 127.0.0.1:5000 app:app", ["it listens at 127.0.0.1:5000, and .* port 8000"]),
    ({**PLAIN}, "", []),
    (
        {"hello.py": "import flask\nmyapp = flask.Flask(__name__)\n", "requirements.txt": ""},
        "",
        [
            "the default page will be shown: .* an application is in hello.py. Set the start-up command "
            '"gunicorn --bind=0.0.0.0 --timeout 600 hello:myapp"'
        ],
    ),
    (
        {"website/hello.py": "myapp = Flask(__name__)\n", "requirements.txt": ""},
        "",
        ['"gunicorn --bind=0.0.0.0 --timeout 600 --chdir website hello:myapp"'],
    ),
    (
        {"main.py": "app = FastAPI()\n", "requirements.txt": ""},
        "",
        ['"gunicorn --bind=0.0.0.0 --timeout 600 -k uvicorn_worker.UvicornWorker main:app"'],
    ),
    (
        {"knboard/backend/config/wsgi.py": "", "requirements.txt": ""},
        "",
        ['it is looked for, in knboard/backend/config. .*--chdir knboard/backend config.wsgi"'],
    ),
    ({"hello.py": "myapp = Flask(__name__)\n", "requirements.txt": ""}, "gunicorn hello:myapp", []),
    ({"requirements.txt": "", "index.html": ""}, "", ["Name the file app.py and the application app"]),
    (
        {"app.py": "application = Flask(__name__)\n", "requirements.txt": ""},
        "",
        ["app.py: 'Service Unavailable': it has no 'app', .*\"gunicorn --bind=0.0.0.0 --timeout 600 app:application\""],
    ),
    ({"app.py": "from other import *\n", "requirements.txt": ""}, "", []),
    (
        {"app.py": "x = 1\ndef f(:\n", "requirements.txt": ""},
        "",
        ["app.py:2: 'Service Unavailable': it cannot be loaded"],
    ),
    ({"app.py": "app = 1\n"}, "", ["'Could not find setup.py or requirements.txt': .*Add a requirements.txt"]),
    ({"app.py": "app = 1\n", "Requirements.txt": ""}, "", ["Move Requirements.txt to requirements.txt"]),
    ({"app.py": "app = 1\n", "requirement.txt": ""}, "", ["Move requirement.txt to requirements.txt"]),
    (
        {"app.py": "app = 1\n", "deploy/requirements.txt": ""},
        "",
        ["Move deploy/requirements.txt .* or set CUSTOM_REQUIREMENTSTXT_PATH=deploy/requirements.txt"],
    ),
    (
        {**PLAIN, ".venv/pyvenv.cfg": ""},
        "",
        ["warning: .venv: 'ModuleNotFoundError': a virtual environment lies among the sources"],
    ),
    (
        {**PLAIN, ".env": "SCM_DO_BUILD_DURING_DEPLOYMENT=0"},
        "",
        ["'ModuleNotFoundError': the settings ask for no build"],
    ),
    ({**PLAIN, ".env": "DISABLE_COLLECTSTATIC=1"}, "", ["DISABLE_COLLECTSTATIC: '1' is no boolean"]),
    ({**PLAIN, "runtime.txt": "python-2.7"}, "", ["2.7 is not here"]),
    (
        {**PLAIN, ".env": "DATABASE_URL=postgres://u:s3cret@db.example.org/x"},
        "",
        ["warning: DATABASE_URL: .*'SSL connection is required'.*sslmode=require"],
    ),
    (
        {**PLAIN, "web.config": '<add key="WSGI_HANDLER" value="app.wsgi_app" />'},
        "",
        ['warning: web.config: .*"gunicorn --bind=0.0.0.0 --timeout 600 app:wsgi_app"'],
    ),
    ({**DJANGO, "site1/settings.py": GOOD}, "", []),
    (
        {**DJANGO, "site1/settings.py": GOOD + "ALLOWED_HOSTS = []\n"},
        "",
        ["settings.py:10: ALLOWED_HOSTS has not the name"],
    ),
    ({**DJANGO, "site1/settings.py": GOOD + "ALLOWED_HOSTS = ['*']\n"}, "", []),
    ({**DJANGO, "site1/settings.py": GOOD + "DEBUG = True\n"}, "", ["warning: site1/settings.py:10: DEBUG is on"]),
    ({**DJANGO, "site1/settings.py": GOOD + "SECRET_KEY = 'x'\n"}, "", ["SECRET_KEY stands in the code"]),
    (
        {**DJANGO, "site1/settings.py": GOOD + "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3'}}\n"},
        "",
        ["'database is locked' is to be expected"],
    ),
    (
        {**DJANGO, "site1/settings.py": GOOD + "DATABASES = {'default': {'ENGINE': 'django.db.backends.mysql'}}\n"},
        "",
        ["nothing asks for TLS to the database"],
    ),
    ({**DJANGO, "site1/settings.py": GOOD.replace("STATIC_ROOT", "NOTHING")}, "", ["STATIC_ROOT is not set"]),
    ({**DJANGO, "site1/settings.py": GOOD + "MIDDLEWARE = []\n"}, "", ["WhiteNoise is not in MIDDLEWARE"]),
    ({**DJANGO, "site1/settings.py": GOOD + "MIDDLEWARE = MIDDLEWARE[::-1]\n"}, "", []),
    (
        {**DJANGO, "site1/settings.py": GOOD.replace('re", "white', 're", "x", "white')},
        "",
        ["WhiteNoise does not come directly after SecurityMiddleware"],
    ),
    ({**DJANGO, "site1/settings.py": GOOD, "requirements.txt": "django"}, "", ["and not in requirements.txt"]),
    (
        {**DJANGO, "site1/settings.py": GOOD, ".env": "DISABLE_COLLECTSTATIC=true"},
        "",
        ["static files are not collected"],
    ),
    ({**DJANGO, "site1/settings.py": GOOD + "SECURE_SSL_REDIRECT = True\n"}, "", ["every request is redirected"]),
    (
        {**DJANGO, "site1/settings.py": "from .base import *\nDEBUG = True\n", "site1/base.py": GOOD},
        "",
        ["DEBUG is on"],
    ),
    ({**DJANGO, "site1/settings.py": GOOD, "site1/wsgi.py": "x = 1\n"}, "", ["it has no 'application'"]),
]


@pytest.mark.parametrize(("files", "command", "wanted"), FOUND)
def test_trouble_is_found_before_it_comes(tmp_path, rolepack, files, command, wanted):
    app = lay(tmp_path / "shop", files)
    done = rolepack("webapp-doctor", app, "--startup-command", command, cwd=app)
    *found, _, summary = done.stdout.splitlines()
    assert len(found) == len(wanted), done.stdout + done.stderr
    for line, pattern in zip(found, wanted, strict=True):
        assert re.search(pattern, line), line
    errors = sum(not line.startswith("warning: ") for line in found)
    assert summary.startswith(f"{errors} error")
    assert done.returncode == (1 if errors else 0)
    assert "s3cret" not in done.stdout


@needs_bash
def test_a_built_app_is_loaded_to_see_whether_it_can_be(app, rolepack, tmp_path, index, image, fresh):
    index.add(make_wheel(tmp_path / "wheels", "tiny", "1.0"))
    lay(app, {"requirements.txt": "tiny\n", "app.py": "import tiny\nimport absent\napp = tiny\n"})
    rolepack.ok("webapp-build", app, cwd=app)
    told = json.loads(rolepack("webapp-doctor", app, "--json", cwd=app).stdout)
    assert [one["wrong"] for one in told] == ["'ModuleNotFoundError': it imports absent, which is not installed"]
    lay(app, {"app.py": "import tiny\napp = tiny.NOTHING\n"})
    rolepack.ok("webapp-build", app, cwd=app)
    (one,) = json.loads(rolepack("webapp-doctor", app, "--json", cwd=app).stdout)
    assert one["wrong"].startswith("'Service Unavailable': gunicorn cannot load app:app: AttributeError")
    lay(app, {"app.py": "app = print\n"})
    rolepack.ok("webapp-build", app, cwd=app)
    assert rolepack.ok("webapp-doctor", app, cwd=app) == "0 errors, 0 warnings.\n"
    done = rolepack("webapp-doctor", app, "--startup-command", "gunicorn app:nothing", cwd=app)
    assert (done.returncode, "gunicorn cannot load app:nothing" in done.stdout) == (1, True)
    os.utime(app / "app.py", (2**32, 2**32))
    assert "Its sources have changed since it was built." in rolepack.ok("webapp-doctor", app, cwd=app)


# Web roles


@needs_bash
def test_a_web_role_runs_as_app_service_would_run_it(shop, rolepack, index, tmp_path, image):
    page = "def app(environ, start_response):\n    import tiny\n    start_response('200 OK', [])\n"
    page += "    return [repr([__file__, tiny.VERSION, environ['SERVER_SOFTWARE']]).encode()]\n"
    index.add(make_wheel(tmp_path / "wheels", "tiny", "1.0"))
    lay(shop, {"roles/web/app.py": page, "roles/web/requirements.txt": "tiny\n", "roles/jobs/requirements.txt": ""})
    with (shop / "invoke.yaml").open("a") as file:
        file.write("hosting: app-service\nstartup_command: {web: gunicorn --workers=2 app:app}\n")
    rolepack.folders.add(shop)
    rolepack.ok("emulate", "--role", "web", "--detach", cwd=shop)
    url = re.search(r"http://127\.0\.0\.1:\d+", rolepack.ok("status", cwd=shop))[0]
    place, version, software = eval(get(url))  # noqa: S307 - what we print ourselves
    assert (place, version, software.split("/")[0]) == (str(shop / "roles/web/app.py"), "1.0", "gunicorn")
    rolepack.ok("scale", "--role", "web=2", cwd=shop)
    assert [one["state"] for one in rolepack.status(shop)["instances"]] == ["Ready", "Ready"]
    log = next(shop.glob(".rolepack/emulator/Resources/Directory/*/LogFiles/default_docker.log")).read_text()
    assert "Site's appCommandLine: gunicorn --workers=2 app:app" in log
    assert log.count("Booting worker") == 2
    rolepack.ok("stop", cwd=shop)
    said = rolepack.ok("package", cwd=shop)
    command = "rolepack webapp-package roles/web --prebuilt --runtime 'PYTHON|3.12'"
    assert f"web is hosted by App Service: `{command}` makes its zip." in said
    assert next((shop / "roles/web").glob("requirements.manylinux_2_28_x86_64-*.lock")).is_file()
    inspected = rolepack.ok("inspect", "dist/shop.cspkg", cwd=shop)
    assert "hosting.json" in inspected
    assert "wfastcgi" not in inspected
    shutil.move(shop / "invoke.yaml", tmp_path / "invoke.yaml")
    rolepack.ok("emulate", "--package", "dist/shop.cspkg", "--role", "web", "--detach", cwd=shop)
    assert b"gunicorn/" in get(url)


BAD_HOSTING = [
    ("hosting: kubernetes", "hosting is 'kubernetes', which is not known"),
    ("hosting: [web]", "hosting is no text"),
    ("hosting: {web: app-service}\nstartup_command: {jobs: x}", "startup_command names 'jobs', which is not hosted so"),
]


@pytest.mark.parametrize(("text", "wrong"), BAD_HOSTING)
def test_hosting_that_is_not_known_is_refused(shop, rolepack, text, wrong):
    with (shop / "invoke.yaml").open("a") as file:
        file.write(f"{text}\n")
    assert wrong in rolepack.refused("emulate", cwd=shop)
