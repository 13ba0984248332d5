"""The settings of a Django app, read and never run, and what the documentation says of them."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from cloudservice.errors import Fault
from cloudservice.files import shown
from packager.appservice import code

_MODULE = re.compile(r"""DJANGO_SETTINGS_MODULE["']\s*,\s*["']([\w.]+)["']""")
_WHITENOISE = "whitenoise.middleware.WhiteNoiseMiddleware"
_SECURITY = "django.middleware.security.SecurityMiddleware"
_AT_A_SERVER = ("postgresql", "mysql", "psycopg")


class Settings:
    """The assignments at the top of a settings module and of those that it imports all from, by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, tuple[Path, ast.Assign]] = {}
        self._read(path, set())

    def _read(self, path: Path, seen: set[Path]) -> None:
        tree = code.parse(path) if path not in seen and path.is_file() else None
        seen.add(path)
        for node in tree.body if isinstance(tree, ast.Module) else ():
            if isinstance(node, ast.ImportFrom) and node.level and node.names[0].name == "*" and node.module:
                self._read(path.parent.joinpath(*node.module.split(".")).with_suffix(".py"), seen)
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        self.found[target.id] = path, node

    def text(self, name: str) -> str:
        """The expression that is assigned; empty if there is none."""
        return ast.unparse(self.found[name][1].value) if name in self.found else ""

    def literal(self, name: str) -> object:
        """What is assigned, if that is a literal; else None."""
        try:
            return ast.literal_eval(self.found[name][1].value) if name in self.found else None
        except ValueError:
            return None

    def fault(self, name: str, wrong: str, remedy: str) -> Fault:
        """A warning at an assignment, or of the module if there is none."""
        path, node = self.found.get(name, (self.path, None))
        return Fault(shown(path), wrong, remedy, node.lineno if node else None, level="warning")


def load(app: Path, environ: Mapping[str, str]) -> Settings | None:
    """The settings of the Django app in a folder; None if it is none, or if its settings cannot be found."""
    if not (app / "manage.py").is_file() and not any(app.glob("*/wsgi.py")):
        return None
    sources = [app / "manage.py", *sorted(app.glob("*/wsgi.py"))]
    texts = (path.read_text("utf-8", "replace") for path in sources if path.is_file())
    named = [match[1] for text in texts if (match := _MODULE.search(text))]
    for module in filter(None, [environ.get("DJANGO_SETTINGS_MODULE"), *named]):
        base = app.joinpath(*module.split("."))
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                return Settings(path)
    return None


def diagnose(settings: Settings, requirements: str, environ: Mapping[str, str]) -> Iterator[Fault]:
    """What the documentation warns of. `requirements` is what the app asks for, `environ` its settings."""
    yield from _hosts_and_secrets(settings)
    yield from _databases(settings)
    yield from _static_files(settings, requirements, environ)
    if settings.literal("SECURE_SSL_REDIRECT") is True and not settings.text("SECURE_PROXY_SSL_HEADER"):
        wrong = "it redirects to https, and TLS ends before the app: every request is redirected, without an end"
        remedy = "Add SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')"
        yield settings.fault("SECURE_SSL_REDIRECT", wrong, remedy)


def _hosts_and_secrets(settings: Settings) -> Iterator[Fault]:
    hosts = settings.literal("ALLOWED_HOSTS")
    if isinstance(hosts, list | tuple) and not any(host == "*" or "azurewebsites.net" in str(host) for host in hosts):
        wrong = "ALLOWED_HOSTS has not the name of the site, so that each request is answered 400"
        remedy = "Write ALLOWED_HOSTS = [os.environ['WEBSITE_HOSTNAME']]"
        yield settings.fault("ALLOWED_HOSTS", wrong, remedy)._replace(level="error")
    if settings.literal("DEBUG") is True:
        wrong = "DEBUG is on, and shows everybody the code and the settings of what fails"
        yield settings.fault("DEBUG", wrong, "Take it from a setting DEBUG, which is 0 in App Service and 1 here")
    if isinstance(settings.literal("SECRET_KEY"), str):
        wrong = "SECRET_KEY stands in the code"
        yield settings.fault("SECRET_KEY", wrong, "Take it from a setting, which `webapp-settings --secret` stores")


def _databases(settings: Settings) -> Iterator[Fault]:
    text = settings.text("DATABASES")
    if "sqlite3" in text:
        wrong = "the database is SQLite, Django's default: 'database is locked' is to be expected"
        remedy = "Let DATABASES have a database of the cloud, with its connection from settings"
        yield settings.fault("DATABASES", wrong, remedy)
    if any(name in text for name in _AT_A_SERVER) and "ssl" not in text.lower():
        wrong = "nothing asks for TLS to the database, and those of the cloud require it ('SSL connection is required')"
        remedy = "Add 'OPTIONS': {'sslmode': 'require'} (MySQL: 'ssl'), and check the user's name and password"
        yield settings.fault("DATABASES", wrong, remedy)


def _static_files(settings: Settings, requirements: str, environ: Mapping[str, str]) -> Iterator[Fault]:
    if "django.contrib.staticfiles" not in settings.text("INSTALLED_APPS"):
        return
    if not settings.text("STATIC_ROOT"):
        wrong = "STATIC_ROOT is not set, so that collectstatic fails and no static file is served"
        remedy = "Write STATIC_ROOT = os.environ.get('DJANGO_STATIC_ROOT', './static/')"
        yield settings.fault("STATIC_ROOT", wrong, remedy)
    middleware = settings.literal("MIDDLEWARE")
    if isinstance(middleware, list | tuple):
        yield from _whitenoise(settings, list(middleware), requirements)
    if environ.get("DISABLE_COLLECTSTATIC", "").lower() == "true":
        wrong = "DISABLE_COLLECTSTATIC is on: static files are not collected by the build"
        yield Fault("DISABLE_COLLECTSTATIC", wrong, "Remove it, unless a post-build command does so", level="warning")


def _whitenoise(settings: Settings, middleware: list[object], requirements: str) -> Iterator[Fault]:
    if _WHITENOISE not in middleware:
        wrong = "nothing serves the static files: WhiteNoise is not in MIDDLEWARE"
        remedy = f"Put '{_WHITENOISE}' directly after '{_SECURITY}', and whitenoise into requirements.txt"
        yield settings.fault("MIDDLEWARE", wrong, remedy)
        return
    place = middleware.index(_WHITENOISE)
    if _SECURITY in middleware and middleware[place - 1 : place] != [_SECURITY]:
        wrong = "WhiteNoise does not come directly after SecurityMiddleware"
        yield settings.fault("MIDDLEWARE", wrong, f"Move '{_WHITENOISE}' there")
    if "whitenoise" not in requirements.lower():
        wrong = "WhiteNoise is in MIDDLEWARE, and not in requirements.txt"
        yield settings.fault("MIDDLEWARE", wrong, "Add whitenoise to requirements.txt")
