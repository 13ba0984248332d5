"""The host of a site finds its application as wfastcgi does."""

import sys
from pathlib import Path

import pytest

from emulator.hosts import site

MODULE = """
import os
def app(environ, start): return []
nothing = None
class Inner:
    def make(self): return app
def factory(): return Inner()
"""


@pytest.fixture
def sources(tmp_path, monkeypatch):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("import package.web")
    (tmp_path / "package" / "web.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("import no_such_module")
    (tmp_path / "raises.py").write_text("raise RuntimeError('my import')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("package", "package.web", "broken", "raises"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "handler", ["package.web.app", "package.web.factory().make()", "package.web.Inner().make().__call__.__self__"]
)
def test_a_handler_is_found(sources, handler):
    assert site.resolve(handler).__name__ == "app"


@pytest.mark.parametrize(
    ("handler", "error", "message"),
    [
        ("", LookupError, "WSGI_HANDLER env var must be set"),
        (None, LookupError, "WSGI_HANDLER env var must be set"),
        ("package", LookupError, '"package" could not be imported'),
        ("package.web.nothing", LookupError, '"package.web.nothing" could not be imported'),
        ("nowhere.app", LookupError, "No module named 'nowhere'"),
        ("broken.app", LookupError, "No module named 'no_such_module'"),
        ("package.web.no_such", AttributeError, "no_such"),
        ("package.web.app()", TypeError, "missing 2 required"),
        ("raises.app", RuntimeError, "my import"),
    ],
)
def test_a_handler_that_is_not_there_says_why(sources, handler, error, message):
    with pytest.raises(error, match=message):
        site.resolve(handler)


def test_app_settings_are_read_whatever_the_case_of_the_name(tmp_path):
    (tmp_path / "Web.Config").write_text(
        "<configuration><appSettings><add key=' A ' value=' 1 '/><add key='B' value='1'/></appSettings>"
        "<location><appSettings><add key='B' value='2'/><add key='C'/></appSettings></location></configuration>"
    )
    assert site.app_settings(tmp_path) == {"A": " 1 ", "B": "2", "C": ""}
    assert site.app_settings(tmp_path / "..") == {}


def test_pythonpath_is_expanded_and_comes_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["host", "lib"])
    monkeypatch.setenv("HERE", "/here")
    site.extend_path({"PythonPath": "%HERE%/a;;%NOTHING%b"})
    assert sys.path == [str(Path.cwd()), "lib", "/here/a", "b"]


def call(log: site.RequestLog, application, path: str) -> None:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", "REMOTE_ADDR": "127.0.0.9"}
    environ["HTTP_USER_AGENT"] = "a b"
    answer = site.under_waitress(site.Site(application, ("127.0.0.1", 80), log))(environ, lambda *_: None)
    list(answer)
    if hasattr(answer, "close"):
        answer.close()


def test_requests_are_logged_in_the_w3c_extended_format(tmp_path):
    log = site.RequestLog(tmp_path / "W3SVC1")

    def listed(_environ, start):
        start("404 Not Found", [])
        return [b"no", b"pe"]

    def streamed(_environ, start):
        start("200 OK", [])
        yield b"abc"
        yield b"de"

    def failing(_environ, _start):
        raise ValueError

    call(log, listed, "/a b\nc")
    call(log, streamed, "/s")
    with pytest.raises(ValueError):  # noqa: PT011
        call(log, failing, "/f")
    log.flush()
    (file,) = (tmp_path / "W3SVC1").glob("u_ex??????.log")
    software, version, fields, *lines = file.read_text().splitlines()
    assert (software, version) == ("#Software: rolepack", "#Version: 1.0")
    names = fields.removeprefix("#Fields: ").split()
    rows = [dict(zip(names, line.split(" "), strict=True)) for line in lines]
    assert [(row["cs-uri-stem"], row["sc-status"], row["sc-bytes"]) for row in rows] == [
        ("/a%20b%0Ac", "404", "4"),
        ("/s", "200", "5"),
        ("/f", "500", "0"),
    ]
    assert {row["cs(User-Agent)"] for row in rows} == {"a+b"}
