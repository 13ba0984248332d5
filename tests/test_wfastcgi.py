"""An application is loaded, called and answered for as wfastcgi under IIS does it.

One host serves a site whose functions the tests ask for, and a small application for each setting that is tried.
"""

import ast
import contextlib
import functools
import hashlib
import http.client
import io
import re
import sys
import textwrap
import threading
from typing import NamedTuple

import pytest
from conftest import until
from hosted import config, hosted, lay

from emulator.hosts import wsgi

OURS = {"Server", "Date", "Content-Length"}
"""Headers that the front end adds."""
READING = "Error occurred while reading WSGI handler"


class Said(NamedTuple):
    """What an application does, and the answer: its status and reason, its own headers and its body."""

    code: str
    status: str = "200 OK"
    headers: tuple[tuple[str, str], ...] = ()
    body: str = "x"


SAID = {
    "a_status_alone": Said('start("200", []); return [b"x"]'),
    "a_status_of_bytes": Said('start(b"200 Fine", []); return [b"x"]', "200 Fine"),
    "a_reason_of_its_own": Said('start("299 Own  Words", []); return [b"x"]', "299 Own  Words"),
    "a_reason_in_latin_1": Said('start("200 gr\\xfcn", []); return [b"x"]', "200 gr\xfcn"),
    "a_status_nobody_knows": Said('start("599", []); return [b"x"]', "599 "),
    "headers_that_are_a_text": Said('start("200 OK", ""); return [b"x"]'),
    "headers_that_are_none": Said('start("200 OK", None); return [b"x"]'),
    "headers_that_are_false": Said('start("200 OK", False); return [b"x"]'),
    "headers_of_an_iterator": Said(
        'start("200 OK", iter([["X-A", "1"], ("X-B", "2")])); return [b"x"]', headers=(("X-A", "1"), ("X-B", "2"))
    ),
    "headers_of_bytes": Said('start("200 OK", [(b"X-A", b"\\xe9")]); return [b"x"]', headers=(("X-A", "\xe9"),)),
    "headers_in_latin_1": Said('start("200 OK", [("X-A", "\\xe9")]); return [b"x"]', headers=(("X-A", "\xe9"),)),
    "headers_in_their_order": Said(
        'start("200 OK", [("Set-Cookie", "b=1"), ("X-Z", ""), ("Set-Cookie", "a=2"), ("set-cookie", "b=1")])\n'
        'return [b"x"]',
        headers=(("Set-Cookie", "b=1"), ("X-Z", ""), ("Set-Cookie", "a=2"), ("set-cookie", "b=1")),
    ),
    "headers_of_a_connection": Said(
        'start("200 OK", [("Keep-Alive", "timeout=5"), ("X-A", "1")]); return [b"x"]', headers=(("X-A", "1"),)
    ),
    "a_length_that_is_wrong": Said('start("200 OK", [("Content-Length", "99")]); return [b"x"]'),
    "a_length_that_is_none": Said('start("200 OK", [("Content-Length", "many")]); return [b"x"]'),
    "empty_parts": Said('start("200 OK", []); return [b"", b"a", b"", b"b", b""]', body="ab"),
    "nothing": Said('start("202 Accepted", [("X-A", "1")]); return []', "202 Accepted", (("X-A", "1"),), ""),
    "a_tuple": Said('start("200 OK", []); return (b"a", b"b")', body="ab"),
    "bytes_that_can_change": Said('start("200 OK", []); return [bytearray(b"a"), memoryview(b"b")]', body="ab"),
    "a_generator_that_starts_late": Said('start("201 Created", [])\nyield b"a"\nyield b"b"', "201 Created", (), "ab"),
    "write_alone": Said('start("200 OK", [])(b"a"); return []', body="a"),
    "write_and_a_list": Said('write = start("200 OK", []); write(b"a"); write(b"b"); return [b"c"]', body="abc"),
    "a_start_after_the_body_began": Said(
        'start("200 OK", [("X-A", "1")])(b"a"); start("404 No", [("X-B", "2")]); return [b"b"]',
        headers=(("X-A", "1"),),
        body="ab",
    ),
    "a_start_after_an_empty_part": Said(
        'start("200 OK", [])\nyield b""\n'
        'try: raise KeyError("why")\n'
        'except KeyError: start("503 Busy", [("X-B", "2")], sys.exc_info())\n'
        'yield b"busy"',
        "503 Busy",
        (("X-B", "2"),),
        "busy",
    ),
    "a_start_that_takes_the_place_of_another": Said(
        'start("200 OK", [("X-A", "1")])\n'
        'try: raise KeyError("why")\n'
        'except KeyError: start("503 Busy", [("X-B", "2")], sys.exc_info())\n'
        'return [b"busy"]',
        "503 Busy",
        (("X-B", "2"),),
        "busy",
    ),
    "an_error_page_of_its_own": Said(
        'start("404 Not Here", [("Content-Type", "text/html")]); return [b"<p>\\"mine\\"</p>"]',
        "404 Not Here",
        (("Content-Type", "text/html"),),
        '<p>"mine"</p>',
    ),
    "a_fault_of_its_own": Said('start("500 Mine", []); return [b"x"]', "500 Mine"),
}

FAULTS = {
    "raises": ('raise ValueError("\'quoted\' \\"twice\\" <tag> &amp;")', "ValueError: 'quoted' \"twice\" <tag> &amp;"),
    "exits": ("sys.exit(3)", "SystemExit: 3"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "ends_a_generator": ("raise GeneratorExit", "GeneratorExit"),
    "raises_a_character": ('raise ValueError("\\u20ac \\u4e2d")', "ValueError: \u20ac \u4e2d"),
    "raises_half_a_character": ('raise ValueError("a\\udce9b")', "ValueError: a\\udce9b"),
    "raises_after_start": (
        'start("200 OK", [("X-A", "1")]); raise ValueError("late")',
        "ValueError: late",
    ),
    "raises_after_the_body_began": (
        'start("200 OK", [("X-A", "1")])\nyield b"a"\nraise ValueError("later")',
        "ValueError: later",
    ),
    "exits_after_the_body_began": ('start("200 OK", [])\nyield b"a"\nsys.exit("end")', "SystemExit: end"),
    "raises_after_write": ('start("200 OK", [])(b"a"); raise ValueError("latest")', "ValueError: latest"),
    "gives_none": ('start("200 OK", [])', "TypeError: 'NoneType' object is not iterable"),
    "gives_text": ('start("200 OK", []); return "ab"', "TypeError: content must be encoded before sending: 'a'"),
    "gives_one_text": ('start("200 OK", []); return ["ab"]', "TypeError: content must be encoded before sending: 'ab'"),
    "gives_numbers": ('start("200 OK", []); return b"ab"', "TypeError: content must be encoded before sending: 97"),
    "writes_text": ('start("200 OK", [])("ab")', "TypeError: content must be encoded before sending: 'ab'"),
    "starts_twice": (
        'start("200 OK", []); start("200 OK", []); return []',
        "Exception: start_response has already been called",
    ),
    "never_starts": ("return []", "Exception: start_response has not yet been called"),
    "gives_a_body_first": ('return [b"a", b"b"]', "Exception: start_response has not yet been called"),
    "starts_after_the_body": (
        'yield b"a"\nstart("200 OK", [])',
        "Exception: start_response has not yet been called",
    ),
    "raises_again": (
        'start("200 OK", [])(b"a")\n'
        'try: raise KeyError("first")\n'
        'except KeyError: start("500 No", [], sys.exc_info())\n'
        "return []",
        "KeyError: 'first'",
    ),
    "has_a_number_in_a_header": (
        'start("200 OK", [("X-A", 1)]); return []',
        "AttributeError: 'int' object has no attribute 'decode'",
    ),
    "has_a_number_as_status": (
        "start(200, []); return []",
        "AttributeError: 'int' object has no attribute 'decode'",
    ),
    "has_a_character_in_a_header": (
        'start("200 OK", [("X-A", "\\u20ac")]); return []',
        "UnicodeEncodeError: 'latin-1' codec can't encode character '\\u20ac' in position 0: ordinal not in range(256)",
    ),
    "has_no_status": ('start("", []); return []', "ValueError: invalid literal for int() with base 10: ''"),
    "has_an_early_status": (
        'start("100 Continue", []); return []',
        "ValueError: the status 100 cannot be that of an answer",
    ),
    "raises_in_close": ('start("200 OK", []); return Closed([b"a", b"b"], ValueError("close"))', "ValueError: close"),
    "raises_in_close_of_a_list": (
        'start("200 OK", []); return ClosedList([b"a"])',
        "ValueError: close of a list",
    ),
}
"""What applications do wrong, and the last line of what is said of it."""

INJECTIONS = {
    "value_cr": 'start("200 OK", [("X-A", "a\\rX-B: 1")])',
    "value_lf": 'start("200 OK", [("X-A", "a\\nX-B: 1")])',
    "value_crlf_of_bytes": 'start("200 OK", [(b"X-A", b"a\\r\\nX-B: 1")])',
    "value_nul": 'start("200 OK", [("X-A", "a\\0b")])',
    "name_lf": 'start("200 OK", [("X-A: 1\\nX-B", "1")])',
    "name_nul": 'start("200 OK", [("X\\0", "1")])',
    "reason_crlf": 'start("200 OK\\r\\nX-B: 1", [])',
    "location": 'start("302 Found", [("Location", "/\\r\\nSet-Cookie: a=1")])',
}

BODILESS = {
    "a_list": 'start("200 OK", [("X-A", "1")]); return [b"abc"]',
    "a_generator": 'start("200 OK", [])\nyield b"ab"\nyield b"c"',
    "a_length": 'start("200 OK", [("Content-Length", "1234")]); return []',
    "a_length_and_a_body": 'start("200 OK", [("Content-Length", "3")]); return [b"abc"]',
    "no_content": 'start("204 No Content", [("X-A", "1")]); return [b"abc"]',
    "no_content_in_pieces": 'start("204 No Content", [])\nyield b"ab"\nyield b"c"',
    "not_modified": 'start("304 Not Modified", [("ETag", "e"), ("Content-Length", "3")]); return []',
}

OTHERS = """
import hashlib, importlib.util, io, json, os, sys
from wsgiref.validate import validator

CLOSED = []
COUNT = 0
PLAIN = [("Content-Type", "text/plain")]


def app(environ, start):
    return globals()[environ["PATH_INFO"].split("/")[1]](environ, start)


def tell(start, value):
    start("200 OK", [])
    return [repr(value).encode("utf-8", "backslashreplace")]


def pid(environ, start):
    return tell(start, os.getpid())


def environ(environ, start):
    return tell(start, {key: value for key, value in environ.items() if type(value) in (str, bytes, bool, tuple)})


def variable(environ, start):
    return tell(start, os.environ.get(environ["QUERY_STRING"]))


def evaluated(environ, start):
    return tell(start, eval(environ["wsgi.input"].read()))


def executed(environ, start):
    exec(environ["wsgi.input"].read())
    return tell(start, None)


def counted(environ, start):
    global COUNT
    COUNT += 1
    return tell(start, (COUNT, environ["wsgi.input"].read()))


def digest(environ, start):
    given = environ["wsgi.input"]
    first = given.read(3) + given.readline()
    return tell(start, (hashlib.sha256(first + given.read()).hexdigest(), environ["CONTENT_LENGTH"]))


class Closed:
    def __init__(self, parts, error=None):
        self.parts, self.error = parts, error

    def __iter__(self):
        return iter(self.parts)

    def close(self):
        CLOSED.append(b"".join(part for part in self.parts if type(part) is bytes))
        if self.error:
            raise self.error


class ClosedList(list):
    def close(self):
        raise ValueError("close of a list")


def closing(environ, start):
    start("200 OK", [])
    parts = {"whole": [b"whole"], "text": [b"text", "no"], "early": [b"early"]}
    return Closed(parts[environ["QUERY_STRING"]])


def prints(environ, start):
    print("said \\u4e2d by print")
    print("said to stderr", file=sys.stderr)
    environ["wsgi.errors"].write("said to wsgi.errors, without an end")
    if environ["QUERY_STRING"]:
        raise ValueError("after print")
    return tell(start, None)


@validator
def strict(environ, start):
    environ["wsgi.errors"].writelines(["strict\\n"])
    environ["wsgi.errors"].flush()
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start("200 OK", PLAIN)
    return iter([b"got ", body])


@validator
def strict_list(environ, start):
    start("200 OK", [*PLAIN, ("Content-Length", "3")])
    return [b"abc"]


@validator
def strict_write(environ, start):
    start("200 OK", PLAIN)(b"abc")
    return []


@validator
def strict_nothing(environ, start):
    start("204 No Content", [])
    return []
"""


def functions():
    """The functions of all tables as a module."""
    tables = {name: said.code for name, said in SAID.items()} | {name: code for name, (code, _) in FAULTS.items()}
    tables |= INJECTIONS | BODILESS
    code = "".join(f"def {name}(environ, start):\n{textwrap.indent(code, '    ')}\n\n" for name, code in tables.items())
    return OTHERS + code


SETTINGS = """
<add key="TWICE" value="first" /><add key="TWICE" value="last" />
<add key="  SPACED  " value="  kept  " />
<add key="EMPTY" value="" />
<add key="BARE" />
<add key="" value="nowhere" />
<add key="REMOVED" value="there" /><remove key="REMOVED" /><clear />
<add key="MARKED" value="&lt;&amp;&quot;&#228;&#8364;" />
<add key="OUTER" value="from web.config" />
<add key="EXPANDED" value="%OUTER%;$OUTER;~" />
<add key="LIBRARY" value="library" />
<add key="PYTHONPATH" value="%LIBRARY%/a;;%NOT_THERE%library/b;" />
<add key="PythonPath" value="%INHERITED%/c;100%" />
"""
MORE = """<location path="elsewhere"><appSettings><add key="TWICE" value="in location" />
<add key="DEEP" value="deep" /></appSettings></location>
<appSettings file="more.config"><group><add key="GROUPED" value="grouped" /></group></appSettings>
</configuration>"""
ROOT = {
    "app.py": functions(),
    "Web.CONFIG": config(settings=SETTINGS).replace("</configuration>", MORE),
    "more.config": '<appSettings><add key="FROM_FILE" value="read" /></appSettings>',
    "below/web.config": config("no.app", '<add key="BELOW" value="read" />'),
    "library/a/only_a.py": "",
    "library/b/only_b.py": "",
    "library/a/app.py": "raise ImportError('the site has one of its own')",
    "library/b/json.py": "raise ImportError('Python has one of its own')",
}

MODULES = {
    "myapp.py": """
def app(environ, start):
    start("200 OK", [])
    return [b"found"]

class Site:
    app = staticmethod(app)

    def make(self):
        return self

    def __call__(self, environ, start):
        return app(environ, start)

def factory():
    return Site()

def needs(argument):
    return app

def late():
    import no_such_dependency

nothing = None
number = 5
""",
    "marks.py": "open('imported', 'w').close()\n",
    "package/__init__.py": "",
    "package/web.py": "from myapp import app, Site\n",
    "package/broken.py": "import no_such_module\n",
    "package/half.py": "def app(environ, start): ...\nraise AttributeError('in the module')\n",
    "raises.py": "raise RuntimeError('my import')\n",
    "wrong.py": "def app(:\n",
}
FOUND = [
    "myapp.app",
    "myapp.factory()",
    "myapp.factory().app",
    "myapp.Site().make().make().app",
    "myapp.Site.app",
    "package.web.app",
    "package.web.Site.app",
]
NOT_FOUND = [
    ("", "Exception: WSGI_HANDLER env var must be set"),
    ("myapp", 'ValueError: "myapp" could not be imported'),
    ("marks", 'ValueError: "marks" could not be imported'),
    (".app", 'ValueError: ".app" could not be imported'),
    ("myapp.nothing", 'ValueError: "myapp.nothing" could not be imported'),
    (
        "nowhere.app",
        "ValueError: \"nowhere.app\" could not be imported: ModuleNotFoundError: No module named 'nowhere'\n",
    ),
    ("package.nowhere.app", "AttributeError: module 'package' has no attribute 'nowhere'"),
    ("myapp.zzz", "AttributeError: module 'myapp' has no attribute 'zzz'"),
    ("myapp.Site.zzz", "AttributeError: type object 'Site' has no attribute 'zzz'"),
    ("myapp.factory(1)", "AttributeError: module 'myapp' has no attribute 'factory(1)'"),
    ("myapp.needs()", "TypeError: needs() missing 1 required positional argument: 'argument'"),
    ("myapp.number()", "TypeError: 'int' object is not callable"),
    ("raises.app", "RuntimeError: my import"),
    ("package.half.app", "AttributeError: in the module"),
    ("wrong.app", "SyntaxError: invalid syntax"),
]
DEPENDENCIES = [("package.broken.app", "no_such_module"), ("myapp.late()", "no_such_dependency")]
NOT_CALLABLE = [("myapp.number", "int"), ("package.web", "module")]

IMPORTS = {
    "a_syntax": ("def app(:\n", "SyntaxError: invalid syntax"),
    "an_error": ("raise ValueError('at import')\n", "ValueError: at import"),
    "an_exit": ("import sys\nsys.exit(3)\n", "SystemExit: 3"),
    "an_exit_in_words": ("raise SystemExit('enough')\n", "SystemExit: enough"),
    "an_interrupt": ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
    "a_missing_name": ("first = 1\n", "AttributeError: module 'package.web' has no attribute 'app'"),
    "a_character": ("raise ValueError('\u4e2d')\n", "ValueError: \u4e2d"),
}
"""Modules that cannot be imported, and the last line of what is said of them."""
MENDED = "def app(environ, start):\n    start('200 OK', [])\n    return [b'mended, and the file has another size']\n"

RESTARTING = {
    "a_module": (None, "app.py"),
    "a_module_below": (None, "sub/below.py"),
    "a_config": (None, "own.config"),
    "the_web_config": (None, "web.config"),
    "what_is_wanted": (r"sub\\.*\.txt$", "sub/notes.txt"),
    "what_is_wanted_in_words": (r".*notes", "sub/notes.txt"),
}
STAYING = {
    "a_text": (None, "notes.txt"),
    "a_page": (None, "sub/page.html"),
    "bytecode": (None, "compiled.pyc"),
    "a_name_that_goes_on": (None, "app.py.bak"),
    "another_case": (None, "OTHER.PY"),
    "no_longer_a_module": (r"sub\\.*\.txt$", "app.py"),
    "a_text_elsewhere": (r"sub\\.*\.txt$", "notes.txt"),
    "the_end_alone": (r"notes\.txt$", "sub/notes.txt"),
    "slashes": (r"sub/.*", "sub/notes.txt"),
    "nothing": ("", "app.py"),
    "nothing_at_all": ("", "web.config"),
}
"""Values of WSGI_RESTART_FILE_REGEX and files that are changed."""

UNWATCHED = '<add key="WSGI_RESTART_FILE_REGEX" value="" />'
TELLS = """
import os

def app(environ, start):
    start("200 OK", [])
    told = {key: value for key, value in environ.items() if type(value) in (str, bytes)}
    return [repr((os.getpid(), os.environ.get("WORD"), told)).encode()]
"""
MOUNTED = '<add key="SCRIPT_NAME" value="{}" />'
REWRITES = """<rewrite><rules>
<rule name="bare"><match url="^bare/(.*)" /><action type="Rewrite" url="handler/{R:1}" appendQueryString="false" />
</rule><rule name="own"><match url="^own/(.*)" /><action type="Rewrite" url="handler/{R:1}?own=1" /></rule>
</rules></rewrite>"""
STREAMS = """
import pathlib, time

def app(environ, start):
    word = environ["PATH_INFO"].rpartition("/")[2]
    start("200 OK", [("X-Began", "yes")])
    yield b"one "
    if word == "fails":
        raise ValueError("too late")
    pathlib.Path(f"{word}.began").touch()
    while not pathlib.Path(f"{word}.goes").exists():
        time.sleep(0.01)
    yield b"two"
"""
TWO = '<fastCgi><application fullPath="python" maxInstances="2" /></fastCgi>'
WAITS = """
import pathlib, time

WORD = "old"

def app(environ, start):
    start("200 OK", [])
    if environ["PATH_INFO"].endswith("/waits"):
        pathlib.Path("began").touch()
        while not pathlib.Path("goes").exists():
            time.sleep(0.01)
    return [WORD.encode()]
"""
ENDING = """
everything = app


def app(environ, start):
    if environ["SCRIPT_NAME"]:
        return tell(start, (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["wsgi.path_info"]))
    return everything(environ, start)
"""


def buffered(limit):
    """A handler with a responseBufferLimit."""
    return f'<handlers><add name="P" path="*" modules="FastCgiModule" responseBufferLimit="{limit}" /></handlers>'


def watched(regex, setting='<add key="WSGI_RESTART_FILE_REGEX" value="{}" />'):
    """An application with files to change."""
    files = {pattern[1]: "" for pattern in (*RESTARTING.values(), *STAYING.values())}
    return {**files, "app.py": TELLS, "web.config": config(settings="" if regex is None else setting.format(regex))}


def applications(base):
    """The files of each application, by the segment of addresses that it is below."""
    handlers = [*FOUND, *(handler for handler, *_ in (*NOT_FOUND, *DEPENDENCIES, *NOT_CALLABLE))]
    logs = {handler: f'<add key="WSGI_LOG" value="{base}/{handler}.log" />' for handler, _ in NOT_CALLABLE}
    found = {f"handler-{one}": {**MODULES, "web.config": config(one, logs.get(one, ""))} for one in handlers}
    for name, (code, _) in IMPORTS.items():
        package = {"package/__init__.py": "open('tries', 'a').write('x')\n", "package/web.py": code}
        found[f"import-{name}"] = {**package, "web.config": config("package.web.app", UNWATCHED)}
    for name, (regex, _) in (RESTARTING | STAYING).items():
        found[f"watched-{name}"] = watched(regex)
    return found | {
        "lazy": {"app.py": f"open('loaded', 'w').close()\n{TELLS}", "web.config": config()},
        "unset": {"app.py": TELLS, "web.config": config().replace("WSGI_HANDLER", "OTHER")},
        "malformed": {"app.py": TELLS, "web.config": "<configuration>"},
        "mount": {"app.py": TELLS, "web.config": config(settings=MOUNTED.format("/Mount/In"))},
        "slash": {"app.py": TELLS, "web.config": config(settings=MOUNTED.format("/slash/"))},
        "allow": {
            "app.py": TELLS,
            "web.config": config(settings='<add key="AllowPathInfoForScriptMappings" value="false" />'),
        },
        "rewritten": {"app.py": TELLS, "web.config": config(server=REWRITES)},
        "held": {"app.py": STREAMS, "web.config": config()},
        "at-once": {"app.py": STREAMS, "web.config": config(server=buffered(0))},
        "four": {"app.py": STREAMS, "web.config": config(server=buffered(4))},
        "three": {"app.py": STREAMS, "web.config": config(server=buffered(3))},
        "waits": {"app.py": WAITS, "web.config": config(server=TWO)},
        "renewed": {"app.py": TELLS, "web.config": config(settings='<add key="WORD" value="old" />')},
        "bad-regex": watched("("),
    }


@pytest.fixture(scope="module")
def farm(tmp_path_factory):
    """A site at the root, and the applications below it."""
    base = tmp_path_factory.mktemp("farm")
    root = lay(base / "root", ROOT)
    places = [["", str(root), True]]
    for name, files in applications(base).items():
        places.append([f"/{name}", str(lay(base / name, files)), True])
    environ = {"INHERITED": "inherited", "OUTER": "from outside"}
    with hosted(root, environ, max_instances=1, sites=[{"bindings": [], "places": places}]) as made:
        yield made


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A site without a web.config: all settings come from outside."""
    base = tmp_path_factory.mktemp("bare")
    environ = {"WSGI_HANDLER": "app.app", "WSGI_LOG": str(base / "own.log"), "SCRIPT_NAME": "/Shop"}
    with hosted(lay(base / "root", {"app.py": functions() + ENDING}), environ, max_instances=1, restarts=False) as made:
        yield made


def told(site, path, *how, **headers):
    """The value that a function of the site tells."""
    answer = site.ask(path, *how, **headers)
    assert answer.status == 200, answer
    return ast.literal_eval(answer.text)


def evaluated(site, expression):
    """What an expression is in the application."""
    return told(site, "/evaluated", "POST", expression)


def assert_fault(answer, last, what="Error occurred", printed=("", "")):
    """The answer is that of an error whose last line is given."""
    assert (answer.status, answer.reason) == (500, "Internal Server Error")
    own = [name for name in answer.headers if name not in OURS]
    assert own == ["Content-Type"], "what the application had said is dropped"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.text.startswith(f"{what}:\n\n")
    assert answer.text.endswith("\n{}\n\nStdOut: {}\n\nStdErr: {}".format(last, *printed))


def raw(site, path, method="GET", headers="", body=b""):
    """A request on a connection that ends with it, byte by byte; head and body of the answer."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
    head, _, body = site.say(head.encode("latin-1") + body).partition(b"\r\n\r\n")
    return head.decode("latin-1").split("\r\n"), body


# Processes


def test_nothing_is_loaded_before_a_request_is_whole(farm):
    loaded = farm.folder.parent / "lazy" / "loaded"
    with farm.connect() as client:
        client.sendall(b"POST /lazy/ HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\na")
        assert farm.ask("/lazy/web.config").status == 404
        assert farm.ask("/unset/").status == 500, "another process has come and gone"
        assert not loaded.exists()
        client.sendall(b"b")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    assert loaded.exists()


def test_an_application_is_called_when_the_body_is_whole(farm):
    before, _ = told(farm, "/counted")
    with farm.connect() as client:
        client.sendall(b"POST /counted HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nConnection: close\r\n\r\nabc")
        assert told(farm, "/counted") == (before + 1, b""), "the one process is free"
        client.sendall(b"def")
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert answer.read() == repr((before + 2, b"abcdef")).encode()


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("size", [1, 65_536, 65_537, 1_000_000])
def test_a_body_comes_whole_whatever_its_size(farm, size, is_chunked):
    body = b"a\nb"[:size] + bytes(range(256)) * (size // 256) + b"c" * (size % 256)
    given = iter([body[:1], body[1:]]) if is_chunked else body
    found = told(farm, "/digest", "POST", given)
    assert found == (hashlib.sha256(body).hexdigest(), str(len(body)))


@pytest.mark.parametrize("name", IMPORTS)
def test_an_import_that_fails_is_tried_again_at_each_request(farm, name):
    folder = farm.folder.parent / f"import-{name}"
    for number in (1, 2):
        assert_fault(farm.ask(f"/import-{name}/"), IMPORTS[name][1], READING)
        assert (folder / "tries").read_text() == "x" * number
    (folder / "package/web.py").write_text(MENDED)
    assert farm.get(f"/import-{name}/") == "mended, and the file has another size"
    farm.get(f"/import-{name}/")
    assert (folder / "tries").read_text() == "xxx"


@pytest.mark.parametrize("name", FAULTS)
def test_an_error_costs_its_request_alone(farm, name):
    before = told(farm, "/pid")
    assert_fault(farm.ask(f"/{name}"), FAULTS[name][1])
    assert told(farm, "/pid") == before


def test_a_process_that_exits_is_replaced(farm):
    before = told(farm, "/pid")
    answer = farm.ask("/executed", "POST", "os._exit(7)")
    assert (answer.status, answer.text) == (500, "The FastCGI process exited unexpectedly (exit code 7).\n")
    assert told(farm, "/pid") != before


def test_an_application_runs_in_its_folder(farm):
    assert evaluated(farm, "os.getcwd()") == str(farm.folder)
    assert evaluated(farm, "os.path.samefile(sys.path[0], '.')") is True
    assert evaluated(farm, "importlib.util.find_spec('http1')") is None, "what is ours is not on the path"


def test_an_application_may_go_elsewhere(bare):
    told(bare, "/executed", "POST", "os.chdir('..')")
    assert evaluated(bare, "os.getcwd()") == str(bare.folder.parent)


# Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TWICE", "in location"),
        ("SPACED", "  kept  "),
        ("EMPTY", ""),
        ("BARE", ""),
        ("DEEP", "deep"),
        ("GROUPED", "grouped"),
        ("REMOVED", "there"),
        ("MARKED", '<&"\xe4\u20ac'),
        ("OUTER", "from web.config"),
        ("INHERITED", "inherited"),
        ("EXPANDED", "%OUTER%;$OUTER;~"),
        ("FROM_FILE", None),
        ("BELOW", None),
        ("LIBRARY", "library"),
        ("PYTHONPATH", "%LIBRARY%/a;;%NOT_THERE%library/b;"),
        ("PythonPath", "%INHERITED%/c;100%"),
    ],
)
def test_settings_are_variables(farm, name, value):
    assert told(farm, f"/variable?{name}") == value


def test_settings_are_set_again_before_each_request_and_other_changes_stay(farm):
    told(farm, "/executed", "POST", "os.environ.update(OUTER='changed', INHERITED='mine', ADDED='new')")
    told(farm, "/executed", "POST", "del os.environ['LIBRARY']")
    found = evaluated(farm, "[os.environ.get(name) for name in ('OUTER', 'LIBRARY', 'INHERITED', 'ADDED')]")
    told(farm, "/executed", "POST", "os.environ.update(INHERITED='inherited')")
    assert found == ["from web.config", "library", "mine", "new"]


def test_a_pythonpath_is_expanded_and_comes_last(farm):
    path = evaluated(farm, "sys.path")
    start = path.index("library/a")
    assert path[start : start + 4] == ["library/a", "library/b", "inherited/c", "100%"]
    assert max(number for number, entry in enumerate(path) if "site-packages" in entry) < start
    assert "" not in path[start:]
    assert evaluated(farm, "importlib.util.find_spec('only_b').origin").endswith("library/b/only_b.py")
    assert evaluated(farm, "importlib.util.find_spec('only_a').origin").endswith("library/a/only_a.py")
    assert evaluated(farm, "sys.modules['app'].__file__") == str(farm.folder / "app.py")


def test_settings_that_are_no_xml_are_told_until_they_are_mended(farm):
    for _ in range(2):
        answer = farm.ask("/malformed/")
        assert answer.status == 500
        assert "malformed/web.config:1: no element found" in answer.text
    (farm.folder.parent / "malformed/web.config").write_text(config())
    until(lambda: farm.ask("/malformed/").status == 200)


def test_without_a_web_config_the_environment_counts(bare):
    assert told(bare, "/variable?WSGI_HANDLER") == "app.app"


# The log


def test_a_log_tells_of_the_start_and_of_errors(bare):
    log = bare.folder.parent / "own.log"
    answer = bare.ask("/executed", "POST", "raise ValueError('first\\r\\nsecond \\u20ac')")
    assert answer.status == 500
    text = log.read_bytes().decode()
    lines = re.findall(r"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}: (.*)$", text)
    assert lines[:4] == [
        "wfastcgi.py (rolepack) started",
        f"Python version: {sys.version}".partition("\n")[0],
        "wfastcgi.py (rolepack) initializing",
        "wfastcgi.py (rolepack) initialized",
    ]
    assert lines[-1] == "Error occurred:"
    assert text.endswith("\nValueError: first\nsecond \u20ac\n\nStdOut: \n\nStdErr: \n")
    assert "\r" not in text
    assert text.endswith(answer.text.replace("\r\n", "\n") + "\n")


def test_the_log_is_where_the_environment_says_at_that_moment(bare):
    log, other = bare.folder.parent / "own.log", bare.folder.parent / "other.log"
    told(bare, "/executed", "POST", f"os.environ['WSGI_LOG'] = {str(other)!r}")
    bare.ask("/raises")
    told(bare, "/executed", "POST", f"os.environ['WSGI_LOG'] = {str(log)!r}")
    assert re.fullmatch(r"(?s)[-:. \d]{26}: Error occurred:\n\nTraceback .*StdErr: \n", other.read_text())
    told(bare, "/executed", "POST", "os.environ['WSGI_LOG'] = ''")
    before = log.read_bytes()
    bare.ask("/raises")
    told(bare, "/executed", "POST", f"os.environ['WSGI_LOG'] = {str(log)!r}")
    assert log.read_bytes() == before


# Changed files


def pids(site, names):
    return {name: told(site, f"/watched-{name}/")[0] for name in names}


def change(site, names):
    for name, (_, file) in names.items():
        with (site.folder.parent / f"watched-{name}" / file).open("a") as changed:
            changed.write("<!-- -->" if file.endswith(".config") else "# changed\n")


def test_a_change_has_the_application_start_anew(farm):
    before = pids(farm, RESTARTING)
    change(farm, RESTARTING)
    left = dict(before)

    def are_all_new():
        for name, pid in pids(farm, left).items():
            if pid != before[name]:
                del left[name]
        return not left

    until(are_all_new)
    after = pids(farm, RESTARTING)
    with pytest.raises(AssertionError, match="not within"):
        until(lambda: pids(farm, RESTARTING) != after, 0.8)


def test_other_changes_do_not(farm):
    before = pids(farm, STAYING)
    change(farm, STAYING)
    with pytest.raises(AssertionError, match="not within"):
        until(lambda: pids(farm, STAYING) != before, 1.2)


def test_without_a_pattern_changes_count_only_where_the_host_wants_it(bare):
    before = told(bare, "/pid")
    with (bare.folder / "app.py").open("a") as changed:
        changed.write("# changed\n")
    with pytest.raises(AssertionError, match="not within"):
        until(lambda: told(bare, "/pid") != before, 0.8)


def test_a_changed_web_config_brings_its_settings(farm):
    assert told(farm, "/renewed/")[1] == "old"
    changed = config(settings='<add key="WORD" value="new and longer" />')
    (farm.folder.parent / "renewed/web.config").write_text(changed)
    until(lambda: told(farm, "/renewed/")[1] == "new and longer")


def test_a_request_that_runs_ends_as_it_began(farm):
    folder = farm.folder.parent / "waits"
    answers = []
    thread = threading.Thread(target=lambda: answers.append(farm.ask("/waits/waits")))
    thread.start()
    try:
        until((folder / "began").exists)
        assert farm.get("/waits/") == "old", "the other process has the old sources too"
        (folder / "app.py").write_text(WAITS.replace('"old"', '"new and longer"'))
        until(lambda: not thread.is_alive() or farm.get("/waits/") == "new and longer", 20)
        assert thread.is_alive()
    finally:
        (folder / "goes").touch()
        thread.join()
    assert (answers[0].status, answers[0].text) == (200, "old")


def test_a_pattern_that_is_none_is_told(farm):
    answer = farm.ask("/bad-regex/")
    assert answer.status == 500
    assert "web.config: WSGI_RESTART_FILE_REGEX '(' is not well-formed: missing )" in answer.text


# WSGI_HANDLER


@pytest.mark.parametrize("handler", FOUND)
def test_a_handler_is_found(farm, handler):
    assert farm.get(f"/handler-{handler}/") == "found"


@pytest.mark.parametrize(("handler", "last"), NOT_FOUND)
def test_a_handler_that_is_not_there_says_why(farm, handler, last):
    assert_fault(farm.ask(f"/handler-{handler}/"), last, READING)


@pytest.mark.parametrize(("handler", "module"), DEPENDENCIES)
def test_a_handler_whose_dependency_is_not_there_says_which(farm, handler, module):
    answer = farm.ask(f"/handler-{handler}/")
    assert_fault(answer, f"ModuleNotFoundError: No module named '{module}'\n", READING)
    assert f'\nValueError: "{handler}" could not be imported: Traceback (most recent call last):\n' in answer.text
    assert f"    import {module}\n" in answer.text


def test_a_handler_that_is_not_set_says_so(farm):
    assert_fault(farm.ask("/unset/"), "Exception: WSGI_HANDLER env var must be set", READING)


def test_a_handler_without_a_dot_is_not_imported(farm):
    assert farm.ask("/handler-marks/").status == 500
    assert not (farm.folder.parent / "handler-marks" / "imported").exists()


@pytest.mark.parametrize(("handler", "kind"), NOT_CALLABLE)
def test_a_handler_that_cannot_be_called_fails_at_each_request(farm, handler, kind):
    for _ in range(2):
        assert_fault(farm.ask(f"/handler-{handler}/"), f"TypeError: '{kind}' object is not callable")
    log = (farm.folder.parent / f"{handler}.log").read_text()
    assert log.count("initialized\n") == 1, "the process stays"
    assert log.count("object is not callable\n") == 2


@pytest.fixture
def modules(tmp_path, monkeypatch):
    before = set(sys.modules)
    monkeypatch.syspath_prepend(lay(tmp_path, MODULES))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize("handler", ["myapp.app", "myapp.factory().app", "package.web.Site.app"])
def test_the_same_object_is_found(modules, handler):
    import myapp

    assert wsgi.resolve(handler) is myapp.app


@pytest.mark.parametrize(
    ("handler", "kind", "text"),
    [
        (None, Exception, "WSGI_HANDLER env var must be set"),
        ("", Exception, "WSGI_HANDLER env var must be set"),
        ("myapp", ValueError, '"myapp" could not be imported'),
        ("myapp.nothing", ValueError, '"myapp.nothing" could not be imported'),
        ("raises.app", RuntimeError, "my import"),
    ],
)
def test_an_object_that_is_not_there_says_why(modules, handler, kind, text):
    with pytest.raises(kind) as caught:
        wsgi.resolve(handler)
    assert type(caught.value) is kind
    assert str(caught.value) == text


async def coroutine(scope, receive, send): ...
def function(environ, start): ...
async def generator(scope):
    yield scope


named = functools.partial(coroutine, 1)
named.name = "a partial of this one is none of the coroutine"


class Asynchronous:
    async def __call__(self, scope, receive, send): ...
    async def method(self, scope, receive, send): ...
    @classmethod
    async def of_the_class(cls, scope, receive, send): ...


class Heir(Asynchronous):
    pass


class Synchronous:
    def __call__(self, environ, start): ...
    def method(self, environ, start): ...


@pytest.mark.parametrize(
    "application",
    [
        coroutine,
        functools.partial(coroutine),
        functools.partial(named, 2),
        Asynchronous(),
        Heir(),
        functools.partial(Asynchronous()),
        Asynchronous().method,
        Asynchronous().__call__,
        Asynchronous.of_the_class,
    ],
)
def test_an_application_is_asynchronous(application):
    assert wsgi.is_asynchronous(application) is True


@pytest.mark.parametrize(
    "application",
    [
        function,
        generator,
        functools.partial(function, 1),
        Synchronous(),
        Synchronous().method,
        Synchronous,
        Asynchronous,
        functools.partial(Asynchronous),
        functools.update_wrapper(functools.partial(function), coroutine),
        print,
        5,
        None,
    ],
)
def test_an_application_is_not_asynchronous(application):
    assert wsgi.is_asynchronous(application) is False


# The environ


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REQUEST_METHOD", "POST"),
        ("SCRIPT_NAME", ""),
        ("PATH_INFO", "/environ/a b"),
        ("QUERY_STRING", "x=1&y=%C3%A9"),
        ("CONTENT_TYPE", "text/plain"),
        ("CONTENT_LENGTH", "3"),
        ("HTTP_CONTENT_TYPE", None),
        ("HTTP_CONTENT_LENGTH", None),
        ("SERVER_NAME", "127.0.0.1"),
        ("SERVER_PORT", "{port}"),
        ("SERVER_PORT_SECURE", "0"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("SERVER_SOFTWARE", "rolepack"),
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("HTTPS", "off"),
        ("HTTP_HOST", "127.0.0.1:{port}"),
        ("HTTP_X_OWN", "\xe9"),
        ("HTTP_X_ORIGINAL_URL", None),
        ("wfastcgi.http_x_original_url", None),
        ("REQUEST_URI", "/environ/a%20b?x=1&y=%C3%A9"),
        ("APPL_PHYSICAL_PATH", "{folder}/"),
        ("wsgi.version", (1, 0)),
        ("wsgi.url_scheme", "http"),
        ("wsgi.multiprocess", True),
        ("wsgi.multithread", False),
        ("wsgi.run_once", False),
        ("wsgi.file_wrapper", None),
        ("wsgi.script_name", b""),
        ("wsgi.path_info", b"/environ/a b"),
        ("wsgi.query_string", b"x=1&y=%C3%A9"),
    ],
)
def test_an_environ_has_what_iis_and_wsgi_say(farm, name, value):
    headers = {"Content_Type": "text/plain", "X_Own": "\xe9"}
    found = told(farm, "/environ/a%20b?x=1&y=%C3%A9", "POST", b"abc", **headers)
    if isinstance(value, str):
        value = value.format(port=farm.port, folder=farm.folder)
    assert found.get(name) == value


def test_an_environ_has_the_types_of_wsgi(farm):
    assert evaluated(farm, "type(environ) is dict") is True
    odd = "[key for key, value in environ.items() if '.' not in key and type(value) is not str]"
    assert evaluated(farm, odd) == []
    assert evaluated(farm, "[key for key in environ if type(key) is not str]") == []


def test_output_goes_to_the_streams_of_the_request(farm):
    streams = "sys.stderr, sys.__stderr__, environ['wsgi.errors']"
    assert evaluated(farm, f"len({{id(one) for one in ({streams})}})") == 1
    assert evaluated(farm, "sys.stdout is sys.__stdout__ and sys.stdout is not sys.stderr") is True
    assert evaluated(farm, "isinstance(environ['wsgi.errors'], io.TextIOBase)") is True


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/environ/%C3%A9", b"/environ/\xc3\xa9", b""),
        ("/environ/\xc3\xa9", b"/environ/\xc3\xa9", b""),
        ("/environ/%E9?\xe9=%E9", b"/environ/\xe9", b"\xe9=%E9"),
        ("/environ/%3Fa?b", b"/environ/?a", b"b"),
        ("/environ?", b"/environ", b""),
        ("/environ??a", b"/environ", b"?a"),
        ("/environ/./x/../a", b"/environ/a", b""),
    ],
)
def test_paths_and_queries_are_latin_1_and_bytes(farm, target, path, query):
    head, body = raw(farm, target)
    assert head[0] == "HTTP/1.1 200 OK"
    found = ast.literal_eval(body.decode())
    assert (found["PATH_INFO"], found["wsgi.path_info"]) == (path.decode("latin-1"), path)
    assert (found["QUERY_STRING"], found["wsgi.query_string"]) == (query.decode("latin-1"), query)


def test_headers_that_come_twice_are_one_variable(farm):
    _, body = raw(farm, "/environ", headers="X-A: 1\r\nx-a: 2\r\nCookie: a=1\r\nCookie: b=2\r\n")
    found = ast.literal_eval(body.decode())
    assert (found["HTTP_X_A"], found["HTTP_COOKIE"]) == ("1, 2", "a=1; b=2")


@pytest.mark.parametrize("name", ["X-Original-URL", "x_original_url"])
@pytest.mark.parametrize("path", ["/environ/true", "/mount/true"])
def test_a_client_cannot_say_that_its_address_was_rewritten(farm, name, path):
    _, body = raw(farm, path, headers=f"{name}: /environ/false\r\n")
    assert b"false" not in body
    assert b"ORIGINAL_URL" not in body.upper()


@pytest.mark.parametrize(
    ("target", "query", "original"),
    [
        ("/rewritten/bare/%C3%A9?q=1", "", b"/rewritten/bare/\xc3\xa9?q=1"),
        ("/rewritten/own/a?q=1", "own=1&q=1", b"/rewritten/own/a?q=1"),
    ],
)
def test_what_was_rewritten_has_its_own_path_and_a_new_query(farm, target, query, original):
    _, _, found = told(farm, target, X_Original_URL="/forged")
    path = original.removesuffix(b"?q=1")
    assert (found["PATH_INFO"], found["wsgi.path_info"]) == (path.decode("latin-1"), path)
    assert (found["QUERY_STRING"], found["wsgi.query_string"]) == (query, query.encode())
    assert found["HTTP_X_ORIGINAL_URL"] == original.decode("latin-1")
    assert found["wfastcgi.http_x_original_url"] == original
    assert found["SCRIPT_NAME"] == ""


@pytest.mark.parametrize(
    ("path", "script", "rest"),
    [
        ("/mount/in", "/Mount/In", ""),
        ("/mount/in/", "/Mount/In", "/"),
        ("/MOUNT/IN/A%20b", "/Mount/In", "/A b"),
        ("/Mount/In/%C3%A9", "/Mount/In", "/\xc3\xa9"),
        ("/mount/inner/b", "", "/mount/inner/b"),
        ("/mount/i", "", "/mount/i"),
        ("/mount/x/mount/in", "", "/mount/x/mount/in"),
        ("/slash", "/slash", ""),
        ("/slash/a", "/slash", "/a"),
        ("/allow/a", "/allow/a", "/allow/a"),
    ],
)
def test_a_mount_is_cut_from_the_path(farm, path, script, rest):
    _, _, found = told(farm, path)
    assert (found["SCRIPT_NAME"], found["wsgi.script_name"]) == (script, script.encode("latin-1"))
    assert (found["PATH_INFO"], found["wsgi.path_info"]) == (rest, rest.encode("latin-1"))


def test_a_mount_may_come_from_outside(bare):
    assert told(bare, "/shop/a") == ("/Shop", "/a", b"/a")


@pytest.mark.parametrize(
    ("https", "scheme"), [("on", "https"), ("ON", "https"), ("off", "http"), ("1", "http"), (None, "http")]
)
def test_a_scheme_is_https_if_that_is_on(https, scheme):
    given = {"PATH_INFO": "/", "SCRIPT_NAME": "/", "QUERY_STRING": ""} | ({"HTTPS": https} if https else {})
    assert wsgi.environ_of(given, io.BytesIO(), None)["wsgi.url_scheme"] == scheme


# Answers


@pytest.mark.parametrize("name", SAID)
def test_an_answer_is_as_it_was_said(farm, name):
    said = SAID[name]
    answer = farm.ask(f"/{name}")
    assert f"{answer.status} {answer.reason}" == said.status
    assert [one for one in answer.headers.items() if one[0] not in OURS] == list(said.headers)
    assert answer.text == said.body
    assert answer.headers.get_all("Content-Length") == [str(len(said.body))]


@pytest.mark.parametrize("name", INJECTIONS)
def test_a_header_cannot_end_its_line(farm, name):
    answer = farm.ask(f"/{name}")
    assert answer.status == 500
    assert "\nValueError: a header may have no line break and no NUL in it: " in answer.text
    assert [header for header in answer.headers if header not in OURS] == ["Content-Type"]


@pytest.mark.parametrize(
    ("method", "name", "status", "length"),
    [
        ("HEAD", "a_list", "200 OK", "3"),
        ("HEAD", "a_generator", "200 OK", "3"),
        ("HEAD", "a_length", "200 OK", "1234"),
        ("HEAD", "a_length_and_a_body", "200 OK", "3"),
        ("HEAD", "no_content", "204 No Content", None),
        ("HEAD", "raises", "500 Internal Server Error", "*"),
        ("GET", "no_content", "204 No Content", None),
        ("GET", "no_content_in_pieces", "204 No Content", None),
        ("POST", "not_modified", "304 Not Modified", None),
    ],
)
def test_an_answer_may_have_no_body(farm, method, name, status, length):
    head, body = raw(farm, f"/{name}", method)
    assert head[0] == f"HTTP/1.1 {status}"
    assert body == b""
    found = [line.partition(": ")[2] for line in head if line.lower().startswith("content-length:")]
    if length == "*":
        assert int(found[0]) > 100
    else:
        assert found == ([] if length is None else [length])
    assert not any(line.lower().startswith("transfer-encoding") for line in head)


@pytest.mark.parametrize(("word", "status"), [("whole", 200), ("text", 500)])
def test_what_was_given_is_closed(farm, word, status):
    before = evaluated(farm, f"CLOSED.count(b{word!r})")
    assert farm.ask(f"/closing?{word}").status == status
    assert evaluated(farm, f"CLOSED.count(b{word!r})") == before + 1


@pytest.mark.parametrize("limit", ["at-once", "three"])
def test_an_answer_above_the_limit_is_sent_at_once(farm, limit):
    folder = farm.folder.parent / limit
    with farm.connect() as client:
        client.sendall(f"GET /{limit}/word HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert (answer.status, answer.headers["X-Began"]) == (200, "yes")
        assert answer.read(4) == b"one "
        assert not (folder / "word.goes").exists()
        (folder / "word.goes").touch()
        assert answer.read() == b"two"


@pytest.mark.parametrize("limit", ["held", "four"])
def test_an_answer_below_the_limit_is_held_back(farm, limit):
    folder = farm.folder.parent / limit
    with farm.connect() as client:
        client.sendall(f"GET /{limit}/word HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        until((folder / "word.began").exists)
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(60)
        (folder / "word.goes").touch()
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert answer.read() == b"one two"


@pytest.mark.parametrize("limit", ["held", "four"])
def test_an_error_takes_the_place_of_what_is_held_back(farm, limit):
    assert_fault(farm.ask(f"/{limit}/fails"), "ValueError: too late")


@pytest.mark.parametrize("limit", ["at-once", "three"])
def test_an_error_breaks_off_what_was_sent(farm, limit):
    head, body = raw(farm, f"/{limit}/fails")
    assert head[0] == "HTTP/1.1 200 OK"
    assert body in {b"", b"4\r\none \r\n"}, "the last chunk never comes"
    assert "ValueError: too late" in farm.output


# Errors and output


def test_an_error_has_a_traceback_of_the_application_alone(farm):
    text = farm.ask("/raises").text
    line = functions().partition("raise ValueError(\"'quoted'")[0].count("\n") + 1
    assert text.startswith('Error occurred:\n\nTraceback (most recent call last):\n  File "')
    assert f'File "{farm.folder}/app.py", line {line}, in raises\n' in text
    assert "emulator" not in text


def test_an_error_comes_with_what_was_printed(farm):
    printed = ("said \u4e2d by print\n", "said to stderr\nsaid to wsgi.errors, without an end")
    assert_fault(farm.ask("/prints?fails"), "ValueError: after print", printed=printed)
    assert_fault(farm.ask("/exits"), "SystemExit: 3")


def test_prints_go_to_the_log_of_the_site(farm):
    before = len(farm.output)
    assert told(farm, "/prints") is None
    until(lambda: farm.output[before:].endswith("said to stderr\nsaid to wsgi.errors, without an end\n"), 10)
    assert farm.output[before:].startswith("said \u4e2d by print\n")


@pytest.mark.parametrize(
    ("path", "method", "body", "text"),
    [
        ("/strict", "GET", None, "got "),
        ("/strict/a%20b?x=1", "GET", None, "got "),
        ("/strict", "POST", b"abc", "got abc"),
        ("/strict", "PUT", b"", "got "),
        ("/strict", "HEAD", None, ""),
        ("/strict_list", "GET", None, "abc"),
        ("/strict_list", "HEAD", None, ""),
        ("/strict_write", "GET", None, "abc"),
        ("/strict_nothing", "DELETE", None, ""),
    ],
)
def test_a_strict_application_finds_nothing_wrong(farm, path, method, body, text):
    before = len(farm.output)
    answer = farm.ask(path, method, body)
    assert (answer.status, answer.text) == (204 if "nothing" in path else 200, text)
    evaluated(farm, "__import__('gc').collect()")
    assert farm.output[before:].removeprefix("strict\n") == ""


BUGS = """
import os, sys, io

class Text(str):
    pass

class Site:
    nothing = None

def app(environ, start):
    return globals()[environ["PATH_INFO"].strip("/")](environ, start)

def pid(environ, start):
    start("200 OK", [])
    return [str(os.getpid()).encode()]

def length(environ, start):
    start("200 OK", [])
    return [repr(environ.get("CONTENT_LENGTH")).encode()]

def name(environ, start):
    start("200 OK", [])
    return [environ["SERVER_NAME"].encode()]

def subclasses(environ, start):
    start(Text("200 Fine"), [(Text("X-A"), Text("1"))])
    return [b"x"]

def empty(environ, start):
    start("200 OK", [])
    return ["", b"a", None, b"b"]

def no_error(environ, start):
    start("200 OK", [], ())
    start("404 No", [], ())
    return []

def takes(environ, start):
    sys.stdout = sys.stderr = io.StringIO()
    start("200 OK", [])
    return [b"x"]

def closes(environ, start):
    sys.stderr = open(os.devnull, "w")
    sys.stderr.close()
    raise ValueError("why")

def fails(environ, start):
    print("to stdout")
    print("to stderr", file=sys.stderr)
    raise ValueError("why")

def logs(environ, start):
    os.environ["WSGI_LOG"] = "no/such/folder/log"
    raise ValueError("why")

def longer(environ, start):
    start("200 OK", [("Content-Length", "3")])
    yield b"abc"
    yield b"HTTP/1.1 200 OK"

def shorter(environ, start):
    start("200 OK", [("Content-Length", "9")])
    yield b"abc"
"""
PATTERN = '<add key="WSGI_RESTART_FILE_REGEX" value="{}" />'


@pytest.fixture
def odd(tmp_path, request):
    given = getattr(request, "param", config())
    with hosted(lay(tmp_path / "odd", {"app.py": BUGS, "web.config": given}), max_instances=1) as made:
        yield made


@pytest.mark.parametrize("pattern", ["(", "a{99999999999}"])
def test_a_pattern_that_is_none_is_told_until_it_is_mended(tmp_path, pattern):
    bad = config(settings=PATTERN.format(pattern))
    with hosted(lay(tmp_path / "site", {"app.py": BUGS, "web.config": bad})) as site:
        for _ in range(3):
            answer = site.ask("/pid")
            assert (answer.status, "is not well-formed" in answer.text) == (500, True)
        lay(site.folder, {"web.config": config()})
        until(lambda: site.ask("/pid").status == 200, 10)


def test_a_pattern_that_becomes_none_is_told_until_it_is_mended(odd):
    before = odd.get("/pid")
    lay(odd.folder, {"web.config": config(settings=PATTERN.format("("))})
    until(lambda: odd.ask("/pid").status == 500, 10)
    assert "is not well-formed" in odd.ask("/pid").text
    assert "is not well-formed" in odd.ask("/pid").text
    lay(odd.folder, {"web.config": config()})
    until(lambda: odd.ask("/pid").status == 200, 10)
    assert odd.get("/pid") != before


@pytest.mark.parametrize("odd", [config("app.zzz", UNWATCHED)], indirect=True)
def test_a_new_process_reads_the_web_config_although_nothing_is_watched(odd):
    assert_fault(odd.ask("/pid"), "AttributeError: module 'app' has no attribute 'zzz'", READING)
    lay(odd.folder, {"web.config": config("app.app", UNWATCHED)})
    until(lambda: odd.ask("/pid").status == 200, 3)


def test_heads_may_be_of_subclasses_of_text(odd):
    answer = odd.ask("/subclasses")
    assert (answer.status, answer.reason, answer.headers["X-A"]) == (200, "Fine", "1")


def test_empty_parts_are_skipped_whatever_they_are(odd):
    assert odd.get("/empty") == "ab"


def test_an_error_that_is_empty_is_none(odd):
    assert_fault(odd.ask("/no_error"), "Exception: start_response has already been called")


def test_streams_are_new_for_each_request(odd):
    odd.get("/takes")
    assert_fault(odd.ask("/fails"), "ValueError: why", printed=("to stdout\n", "to stderr\n"))


def test_an_error_is_told_although_the_stream_for_it_is_closed(odd):
    assert_fault(odd.ask("/closes"), "ValueError: why")


def test_an_error_is_told_although_it_cannot_be_logged(odd):
    before = odd.get("/pid")
    assert_fault(odd.ask("/logs"), "ValueError: why")
    assert odd.get("/pid") == before


@pytest.mark.parametrize("odd", [config(settings='<add key="WSGI_LOG" value="no/such/log" />')], indirect=True)
def test_a_log_that_cannot_be_written_is_told(odd):
    assert "No such file or directory: 'no/such/log'" in odd.ask("/pid").text


@pytest.mark.parametrize("odd", [config(server=buffered(0))], indirect=True)
@pytest.mark.parametrize(("name", "body"), [("longer", b"abc"), ("shorter", b"abc")])
def test_an_answer_in_pieces_is_as_long_as_it_says(odd, name, body):
    with odd.connect() as client:  # which would be kept open
        client.sendall(f"GET /{name} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        client.settimeout(5)
        found = b""
        with contextlib.suppress(ConnectionResetError, TimeoutError if name == "longer" else ()):
            while piece := client.recv(65536):
                found += piece
    assert found.partition(b"\r\n\r\n")[2] in {b"", body}


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ("Content_Length: 9\r\n", None),
        ("Content_Length: 9\r\nContent-Length: 3\r\n", "3"),
        ("Content-Length: 3\r\nContent-Length: 3\r\n", "3"),
    ],
)
def test_a_length_is_that_of_the_body(odd, headers, length):
    _, body = raw(odd, "/length", "POST", headers, b"abc" if length else b"")
    assert ast.literal_eval(body.decode()) == length


def test_a_server_may_be_named_by_its_address_of_ipv6(odd):
    found = odd.say(b"GET /name HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n")
    assert found.partition(b"\r\n\r\n")[2] == b"[::1]"


@pytest.mark.parametrize("odd", [config("app.Site.nothing")], indirect=True)
def test_only_the_last_import_that_failed_is_told(odd):
    assert_fault(odd.ask("/pid"), 'ValueError: "app.Site.nothing" could not be imported', READING)


ANY = """
class Any:
    def __getattr__(self, name):
        return self

    def __call__(self, environ, start):
        start("200 OK", [])
        return [b"x"]

app = Any()
"""


def test_an_application_may_have_every_attribute(tmp_path):
    with hosted(lay(tmp_path / "site", {"app.py": ANY, "web.config": config()})) as site:
        assert site.ask("/").status == 200
