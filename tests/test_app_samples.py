"""Apps as people have them, with packages from the index of this machine: built, started and asked."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import uv
from conftest import make_wheel
from hosted import lay
from test_app_run import asked, running

from cloudservice.appservice import home_of

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="needs bash and gunicorn"),
    pytest.mark.usefixtures("image", "fresh"),
]

SETTINGS = """
import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = os.environ["SECRET_KEY"]
DEBUG = os.environ.get("DEBUG") == "1"
ALLOWED_HOSTS = [os.environ.get("WEBSITE_HOSTNAME", "localhost")]
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.staticfiles"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "whitenoise.middleware.WhiteNoiseMiddleware"]
ROOT_URLCONF = "mysite.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
STATIC_URL = os.environ.get("DJANGO_STATIC_URL", "/static/")
STATIC_ROOT = os.environ.get("DJANGO_STATIC_ROOT", "./static/")
STATICFILES_DIRS = ["front/build"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
"""
URLS = """
from django.contrib.auth.models import User
from django.http import JsonResponse
from django.urls import path


def home(request):
    return JsonResponse({"users": User.objects.count(), "secure": request.is_secure(), "host": request.get_host()})


urlpatterns = [path("", home)]
"""
MANAGE = """
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)
"""
WSGI = """
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
"""


def built(rolepack, app: Path, **environ: str) -> str:
    return rolepack.ok("webapp-build", app, cwd=app, **environ)


@pytest.mark.network
def test_django_with_its_static_files_its_database_and_its_secrets(tmp_path, rolepack):
    app = lay(
        tmp_path / "shop",
        {
            "manage.py": MANAGE,
            "mysite/__init__.py": "",
            "mysite/settings.py": SETTINGS,
            "mysite/urls.py": URLS,
            "mysite/wsgi.py": WSGI,
            "requirements.txt": "Django\nwhitenoise\n",
            "front/make.sh": 'mkdir -p front/build && echo "body {}" > front/build/site.css\n',
            "appsettings.json": '[{"name": "PRE_BUILD_COMMAND", "value": "front/make.sh"}]',
        },
    )
    subprocess.run(
        rolepack.argv("webapp-settings", app, "--secret", "SECRET_KEY"), input="k" * 50, text=True, check=True
    )
    said = built(rolepack, app)
    order = [
        "Executing pre-build command...",
        "Running pip install...",
        "Running 'collectstatic'...",
        "collectstatic done in",
    ]
    assert [said.index(line) for line in order] == sorted(said.index(line) for line in order)
    assert "Content in source directory is a Django app" in said
    assert not (app / "static").exists()
    rolepack.ok("webapp-shell", app, "--", "python", "manage.py", "migrate", cwd=app)
    with running(rolepack, app) as one:
        assert "Detected an app based on Django" in one.said
        assert one.get("/static/site.css") == b"body {}\n"
        assert json.loads(one.get("/")) == {"users": 0, "secure": False, "host": f"127.0.0.1:{one.port}"}
    built(rolepack, app)  # the database stays
    with running(rolepack, app, "--https", until_said=" is at https") as one:
        assert asked(f"https://127.0.0.1:{one.port}/")["secure"] is True
    warned = rolepack.ok("webapp-doctor", app, cwd=app)
    assert "'database is locked' is to be expected" in warned
    assert "check --deploy: security.W004" in warned
    assert "skipped" not in built(rolepack, app, DISABLE_COLLECTSTATIC="true")


@pytest.mark.network
def test_collectstatic_that_fails_is_a_warning(tmp_path, rolepack):
    app = lay(tmp_path / "shop", {"manage.py": "raise SystemExit(4)\n", "requirements.txt": "# no Django yet\n"})
    said = built(rolepack, app)
    assert re.search(r"^\"[\d: -]+\"\|WARNING\|.* \| Exit code: 4 \| Please review message", said, re.MULTILINE)
    (app / "requirements.txt").write_text("# nothing\n")
    said = built(rolepack, app)
    missing = r"\|WARNING\|Missing Django module in .* \| Exit code: 0 \| Add Django to your requirements.txt file\."
    assert re.search(missing, said)
    said = built(rolepack, app, DISABLE_COLLECTSTATIC="TRUE")
    assert "Running 'collectstatic'" not in said
    assert "Missing Django" not in said


@pytest.mark.network
def test_fastapi_under_gunicorn_s_worker_for_it(tmp_path, rolepack):
    page = "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/')\nasync def home():\n    return {'fast': True}\n"
    app = lay(tmp_path / "shop", {"main.py": page, "requirements.txt": "fastapi\n"})
    built(rolepack, app)
    with running(rolepack, app, "--startup-command", "gunicorn -k uvicorn_worker.UvicornWorker main:app") as one:
        assert json.loads(one.get()) == {"fast": True}
    command = "python -m uvicorn main:app --host $HOST --port $PORT"
    with running(rolepack, app, "--startup-command", command) as one:
        assert json.loads(one.get()) == {"fast": True}


@pytest.mark.network
def test_a_project_with_setup_py(tmp_path, rolepack):
    words = "name='own', version='1.5', py_modules=['own'], install_requires=['itsdangerous']"
    setup = f"from setuptools import setup\nsetup({words})\n"
    page = "import itsdangerous, own\nfrom flask import Flask\napp = Flask(__name__)\napp.get('/')(lambda: own.TEXT)\n"
    app = lay(tmp_path / "shop", {"setup.py": setup, "own.py": "TEXT = 'own'\n", "app.py": page, "pyproject.toml": ""})
    said = built(rolepack, app)
    assert "Running python setup.py install..." in said
    assert list(home_of(app).wwwroot.glob("antenv/lib/python3.*/site-packages/own-1.5.dist-info"))
    with running(rolepack, app) as one:
        assert one.get() == b"own"


def test_a_project_with_uv_lock(tmp_path, rolepack, index):
    index.add(make_wheel(tmp_path / "wheels", "tiny", "1.0"))
    project = '[project]\nname = "shop"\nversion = "0"\nrequires-python = ">=3.9"\ndependencies = ["tiny"]\n'
    page = "import tiny\nfrom flask import Flask\napp = Flask(__name__)\napp.get('/')(lambda: tiny.VERSION)\n"
    app = lay(tmp_path / "shop", {"pyproject.toml": project, "app.py": page})
    environ = {**os.environ, "UV_DEFAULT_INDEX": index.root.as_uri()}
    subprocess.run([uv.find_uv_bin(), "lock", "--quiet"], cwd=app, env=environ, check=True)
    index.add(make_wheel(tmp_path / "wheels", "tiny", "2.0"))
    said = built(rolepack, app)
    assert "Running uv sync..." in said
    assert "Executing: uv venv --link-mode=copy antenv" in said
    with running(rolepack, app) as one:
        assert one.get() == b"1.0"
    rolepack.ok("webapp-build", app, "--property", "packagedir=packages", cwd=app)
    with running(rolepack, app) as one:
        assert one.get() == b"1.0"
    (app / "uv.lock").write_text("version = 1\n[[package]\n")
    done = rolepack("webapp-build", app, cwd=app)
    assert (done.returncode != 0, "Please review your uv.lock" in done.stdout) == (True, True)


@pytest.mark.network
def test_a_project_of_poetry(tmp_path, rolepack):
    project = '[tool.poetry]\nname = "shop"\nversion = "0.1.0"\ndescription = ""\nauthors = []\npackage-mode = false\n'
    project += '[tool.poetry.dependencies]\npython = ">=3.9,<4"\n'
    page = "from flask import Flask\napp = Flask(__name__)\napp.get('/')(lambda: 'poetry')\n"
    app = lay(tmp_path / "shop", {"pyproject.toml": project, "app.py": page})
    said = built(rolepack, app)
    assert "Running poetry install..." in said
    with running(rolepack, app) as one:
        assert one.get() == b"poetry"
    (app / "pyproject.toml").write_text(f'{project}absent-package-of-ours = "9.9"\n')
    done = rolepack("webapp-build", app, cwd=app)
    assert done.returncode == 1
    assert "poetry install failed with --only main flag, falling back to --no-dev" in done.stdout
    assert re.search(r"\|WARNING\|.* \| Exit code: 1 \| Please review message \| ", done.stdout, re.DOTALL)
