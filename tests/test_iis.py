"""Sites as IIS has them: which handler answers, what is refused before, virtual applications."""

import json
import re
from contextlib import ExitStack, contextmanager

import hosted as kit
import pytest
from conftest import free_port, until
from hosted import config, hosted, lay

APP = """
import json

def app(environ, start):
    start("200 OK", [("X-By", "python")])
    told = {name: value for name, value in environ.items() if isinstance(value, str)}
    told["body"] = len(environ["wsgi.input"].read())
    return [json.dumps(told).encode()]
"""
PYTHON = '<add name="PythonHandler" path="*" verb="*" modules="FastCgiModule" scriptProcessor="p|w" />'
GONE = '<remove name="PythonHandler" />'
BY_FILES = '<add name="Files" path="*" verb="*" modules="StaticFileModule" />'


def nested(server):
    return f"<configuration><system.webServer>{server}</system.webServer></configuration>"


def handlers(inner):
    return nested(f"<handlers>{inner}</handlers>")


def add(path, modules="FastCgiModule", **more):
    words = " ".join(f'{name}="{value}"' for name, value in more.items())
    return f'<add name="Own" path="{path}" modules="{modules}" {words} />'


def filtering(inner, attributes=""):
    return nested(f"<security><requestFiltering {attributes}>{inner}</requestFiltering></security>")


LOCATIONS = "".join(
    f'<location path="{path}"><system.webServer><handlers>{inner}</handlers></system.webServer></location>'
    for path, inner in {"located": GONE, "located/back": PYTHON, "Located\\One.txt": PYTHON, ".": ""}.items()
)
IGNORED = """<modules runAllManagedModulesForAllRequests="true" /><urlCompression doStaticCompression="true" />
<httpErrors errorMode="Detailed" /><validation validateIntegratedModeConfiguration="false" />"""
ROOT = config(server=f"{IGNORED}\n<handlers>{PYTHON}</handlers>").replace(
    "</configuration>",
    f'{LOCATIONS}<system.web><compilation debug="true" targetFramework="4.0" /></system.web>'
    "<system.diagnostics><trace /></system.diagnostics><unheard.of /></configuration>",
)
CONFIGS = {
    "plain/web.config": "<configuration><location path='IN'><system.webServer>"
    f"<handlers>{GONE}</handlers></system.webServer></location></configuration>",
    "gone/web.config": handlers(GONE),
    "gone/again/web.config": handlers(PYTHON),
    "lower/WEB.Config": handlers('<remove name="pythonhandler" />'),
    "verbs/web.config": handlers(GONE + add("*", verb="POST, put")),
    "paths/web.config": handlers(GONE + add("handler.fcgi, *.do,sub/*.py", verb="*")),
    "cleared/web.config": handlers("<clear />"),
    "cleared/files/web.config": handlers(BY_FILES),
    "first/web.config": handlers(add("*.txt", "StaticFileModule", verb="GET", resourceType="File")),
    "folders/web.config": handlers(add("*", "DefaultDocumentModule", resourceType="Directory")),
    "renamed/web.config": handlers(PYTHON.replace('"*"', '"*.py"', 1)),
    "other/web.config": handlers(add("*.axd", "IsapiModule,ManagedPipelineHandler")),
    "undone/web.config": handlers(add("*", "StaticFileModule") + '<remove name="own" />'),
    "told/web.config": nested("\n<security><authorization /></security>\n<httpRedirect enabled='true' />"),
    "f/hidden/web.config": filtering(
        '<hiddenSegments><add segment="Secret" /><remove segment="BIN" /></hiddenSegments>'
    ),
    "f/shown/web.config": filtering("<hiddenSegments><clear /></hiddenSegments>"),
    "f/more/web.config": filtering(
        '<fileExtensions><remove fileExtension=".cs" /><add fileExtension=".Json" allowed="false" /></fileExtensions>'
    ),
    "f/few/web.config": filtering(
        '<fileExtensions allowUnlisted="false"><clear /><add fileExtension=".txt" allowed="true" /></fileExtensions>'
    ),
    "f/no-verb/web.config": filtering('<verbs><add verb="DELETE" allowed="false" /></verbs>'),
    "f/verb/web.config": filtering('<verbs allowUnlisted="false"><add verb="GET" allowed="true" /></verbs>'),
    "f/verb/post/web.config": filtering('<verbs><add verb="POST" allowed="true" /><remove verb="GET" /></verbs>'),
    "f/limits/web.config": filtering(
        '<requestLimits maxAllowedContentLength="10" maxUrl="30" maxQueryString="8">'
        '<headerLimits><add header="X-Long" sizeLimit="3" /></headerLimits></requestLimits>'
    ),
    "f/sequences/web.config": filtering(
        '<denyUrlSequences><add sequence="..." /><add sequence="Bad/" /></denyUrlSequences>'
        '<denyQueryStringSequences><add sequence="DROP" /></denyQueryStringSequences>'
    ),
    "f/twice/web.config": filtering("", 'allowDoubleEscaping="true"'),
    "f/ascii/web.config": filtering("", 'allowHighBitCharacters="false"'),
}
MALFORMED = {
    "open": ("<configuration>\n<system.webServer>\n</configuration>", 3),
    "doctype": ('<?xml version="1.0"?>\n<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>\n<configuration/>', 2),
    "empty": ("", 1),
    "text": ("nothing", 1),
    "two": ("<configuration/>\n\n<configuration/>", 3),
    "entity": ("<configuration>\n&nothing;</configuration>", 2),
    "encoding": ('<?xml version="1.0" encoding="klingon"?><configuration/>', 1),
    "bytes": (b"<configuration>\n\xff</configuration>", 2),
    "deep": ("\n" + "<a>" * 200 + "</a>" * 200, 2),
}
PLACED = ("a.txt", "index.html", "in/a.txt")
FILES = {
    **{f"{name.rpartition('/')[0]}/{file}": "a file" for name in CONFIGS for file in PLACED},
    **{f"located/{file}": "a file" for file in ("a.txt", "one.txt", "back/a.txt")},
    **{f"malformed/{name}/web.config": content for name, (content, _) in MALFORMED.items()},
    "malformed/utf-16/web.config": f'<?xml version="1.0" encoding="utf-16"?>{handlers(GONE)}'.encode("utf-16"),
    "malformed/utf-16/a.txt": "a file",
    "malformed/large/web.config": nested(" " * 1024 * 1024),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A site with Python at its root, whose folders have a web.config each."""
    files = {"app.py": APP, "a.txt": "a file", "Web.config": ROOT, **CONFIGS, **FILES}
    with hosted(lay(tmp_path_factory.mktemp("iis") / "site", files)) as made:
        yield made


def who(answer):
    """Who has answered: `python`, the text of a file, or a status."""
    return answer.headers["X-By"] or (answer.text if answer.status == 200 else answer.status)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        *(("/", "python"), ("/a.txt", "python"), ("/plain/a.txt", "python"), ("/plain/in/a.txt", "a file")),
        *(("/gone/a.txt", "a file"), ("/gone/in/a.txt", "a file"), ("/gone/b", 404), ("/gone/", "a file")),
        *(("/GONE/A.txt", "a file"), ("/gone/again/a.txt", "python"), ("/lower/a.txt", "a file")),
        *(("/verbs/a.txt", "a file"), ("POST /verbs/a.txt", "python"), ("PUT /verbs/b", "python")),
        *(("DELETE /verbs/a.txt", 405), ("HEAD /gone/a.txt", ""), ("OPTIONS /a", "python"), ("PROPFIND /a", "python")),
        *(("/paths/handler.fcgi", "python"), ("/paths/Handler.FCGI/more/of/it", "python"), ("/paths/x.do", "python")),
        *(("/paths/x.do/more", "python"), ("/paths/in/y.do", "python"), ("/paths/a.txt", "a file"), ("/paths/do", 404)),
        *(("/paths/handler.fcgi2", 404), ("/paths/xhandler.fcgi", 404), ("/paths/sub/x.py", 404)),
        *(("/cleared/a.txt", 404), ("/cleared/files/a.txt", "a file")),
        *(("/first/a.txt", "a file"), ("/first/in/a.txt", "a file"), ("/first/b.txt", "python")),
        *(("/first/index.html", "python"), ("POST /first/a.txt", "python"), ("/first/b.txt/a.txt", "python")),
        *(("/folders/", "a file"), ("/folders/a.txt", "python"), ("/folders/none/", "python")),
        *(("/renamed/x.py", "python"), ("/renamed/x.py/a.txt", "python"), ("/renamed/a.txt", "a file")),
        *(("/other/a", "python"), ("/other/x.axd", 500), ("/undone/a.txt", "python")),
        *(("/located/a.txt", "a file"), ("/LOCATED/A.txt", "a file"), ("/located/one.txt", "python")),
        *(("/located/back/a.txt", "python"), ("/located2/a.txt", "python"), ("/located.txt", "python")),
        *(("/malformed/utf-16/a.txt", "a file"), ("/told/a.txt", "python")),
    ],
)
def test_a_handler_is_chosen_by_verb_and_path(site, asked, expected):
    method, _, path = asked.rpartition(" ")
    assert who(site.ask(path, method or "GET")) == expected


def test_a_path_behind_the_handlers_own_is_told_whole(site):
    environ = json.loads(site.get("/paths/handler.fcgi/more%20of/it?a=b"))
    assert (environ["PATH_INFO"], environ["SCRIPT_NAME"]) == ("/paths/handler.fcgi/more of/it", "")
    assert (environ["QUERY_STRING"], "HTTP_X_ORIGINAL_URL" in environ) == ("a=b", False)


def test_what_is_missing_is_told(site):
    assert "404.4" in site.ask("/cleared/a.txt").text
    answer = site.ask("/other/x.axd")
    assert "the handler 'Own' needs IsapiModule, ManagedPipelineHandler" in answer.text
    assert answer.text in site.output


def test_a_section_without_effect_is_told_once(site):
    for path in ("/", "/told/a", "/told/b", "/a", "/told/in/a"):
        assert site.ask(path).status == 200
    (site.folder / "told" / "new").mkdir()
    (site.folder / "told" / "new" / "web.config").write_text(handlers(GONE))
    until(lambda: site.ask("/told/new/a.txt").status == 404)
    assert sorted(re.findall(r"(\S+:\d+): (\S+) has no effect here", site.output)) == [
        ("Web.config:9", "httpErrors"),
        ("told/web.config:2", "security/authorization"),
        ("told/web.config:3", "httpRedirect"),
    ]


@pytest.mark.parametrize("name", MALFORMED)
def test_a_config_that_is_malformed_is_told_by_file_and_line(site, name):
    answer = site.ask(f"/malformed/{name}/a")
    assert answer.status == 500
    assert f" malformed/{name}/web.config:{MALFORMED[name][1]}: " in answer.text
    assert "root:" not in answer.text
    assert answer.text in site.output
    assert who(site.ask(f"/malformed/{name}2/a")) == "python"


def test_a_config_that_is_large_is_refused(site):
    assert "malformed/large/web.config: it has more than 1,048,576 bytes" in site.ask("/malformed/large/a").text


def test_a_doctype_is_not_allowed(site):
    assert "DOCTYPE" in site.ask("/malformed/doctype/").text


@pytest.mark.parametrize(("place", "path"), [("web.config", "/"), ("sub/Web.Config", "/sub/a.txt")])
def test_a_config_that_is_mended_counts_again(tmp_path, place, path):
    files = {"app.py": APP, "web.config": config(), "sub/a.txt": "a file"}
    with hosted(lay(tmp_path / "site", {**files, place: "<configuration>\n"})) as site:
        assert f" {place}:2: " in site.ask(path).text
        assert site.ask("/else").status == (200 if "/" in place else 500)
        (site.folder / place).write_text(config())
        until(lambda: who(site.ask(path)) == "python")
        (site.folder / place).write_text(config().replace("</system", "<handlers"))
        until(lambda: site.ask(path).status == 500)
        (site.folder / place).write_text(config(server="<handlers><clear /></handlers>"))
        until(lambda: site.ask(path).status == 404)


def test_a_config_that_comes_and_goes_counts(tmp_path):
    with hosted(lay(tmp_path / "site", {"app.py": APP, "web.config": config(), "new/a.txt": "a file"})) as site:
        assert who(site.ask("/new/a.txt")) == "python"
        (site.folder / "new/web.config").write_text(handlers('<remove name="Python_via_FastCGI" />'))
        until(lambda: who(site.ask("/new/a.txt")) == "a file")
        (site.folder / "new/web.config").unlink()
        until(lambda: who(site.ask("/new/a.txt")) == "python")


def test_a_site_without_handlers_has_python_but_where_it_is_removed(tmp_path):
    files = {"app.py": APP, "WEB.CONFIG": config(), "a.txt": "a file", "static/a.txt": "a file", "old/a.txt": "a file"}
    files["static/Web.Config"] = handlers('<remove name="Python_via_FastCGI" />')
    files["old/web.config"] = handlers('<remove name="Python273_via_FastCGI" />')
    with hosted(lay(tmp_path / "site", files)) as site:
        paths = ("/", "/a.txt", "/static/a.txt", "/static/b", "/old/a.txt")
        assert [who(site.ask(path)) for path in paths] == ["python", "python", "a file", 404, "a file"]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        *((f"/{name}/x", 404) for name in ("bin", "BIN", "b%69n", "bin.", "bin%20", "bin%2e%20.", "bin:x", "x/bin")),
        *((f"/a/{name}", 404) for name in ("App_Data/x", "app_code", "App_Browsers/", ".rolepack/x", "bin::$DATA/x")),
        *((f"/{name}", 404) for name in ("web.config", "Web.Config", "web.config.", "web.config%20", "%77eb.config")),
        *((f"/{name}", 404) for name in ("web.config::$DATA", "web%2Econfig", "web.config/x", "gone/web.config")),
        *((f"/{name}", 404) for name in ("x.cs", "x.CONFIG", "x.cs.", "x.cs%20", "x.cs::$DATA", "a/x.mdf", "x.%72esx")),
        *(
            (f"/{name}", 200)
            for name in ("binx/a", "xbin", "web.config.txt", "x.csx", "x.cs/y", "cs", "x.py", "x.json")
        ),
        *(("/a\\bin\\x", 404), ("/a%5Cbin%5Cx", 404), ("/a%2Fbin", 404), ("/%20", 200)),
        *(("/a/../bin/x", 404), ("/bin/../a", 200), ("/a?/bin/web.config", 200), ("/.well-known/a", 200)),
        *(("/a%252eb", 404), ("/a+b", 404), ("/a%2Bb", 404), ("/%252e%252e/a", 404), ("/a%2520", 404), ("/a%25b", 200)),
        *(("/a?b+c&d=%252e", 200), ("/%C3%A9", 200), ("/f/twice/a%252eb+c", 200), ("/f/twice/%252e%252e/bin/x", 404)),
        *(("/a%00b", 400), ("/a%0ab", 400), ("/a%7fb", 400), ("/../a", 400), ("/a/%2e%2e/..%5cb", 400), ("/a%", 400)),
        *(("/f/hidden/secret/x", 404), ("/f/hidden/bin/x", 200), ("/f/hidden/app_data/x", 404), ("/f/secret", 200)),
        *(("/f/shown/web.config/x", 200), ("/f/shown/web.config", 404)),
        *(("/f/more/x.cs", 200), ("/f/more/x.JSON", 404), ("/f/more/x.vb", 404)),
        *(("/f/few/x.txt", 200), ("/f/few/x.css", 404), ("/f/few/x.cs", 404)),
        *(("/f/no-verb/a", 200), ("DELETE /f/no-verb/a", 404), ("POST /f/no-verb/a", 200)),
        *(("/f/verb/a", 200), ("POST /f/verb/a", 404), ("POST /f/verb/post/a", 200), ("GET /f/verb/post/a", 404)),
        *((f"/f/limits/{'a' * 20}", 200), (f"/f/limits/{'a' * 22}", 404), (f"/f/limits/{'a' * 22}?a=b", 404)),
        *(("/f/limits/a?b=345678", 200), ("/f/limits/a?b=3456789", 404)),
        *((f"/{'a' * 4090}", 200), (f"/{'a' * 4100}", 404), (f"/?{'a' * 2048}", 200), (f"/?{'a' * 2049}", 404)),
        *(("/f/sequences/a...b", 404), ("/f/sequences/bad/x", 404), ("/f/sequences/bad", 200), ("/f/a...b", 200)),
        *(("/f/sequences/a?x=drop", 404), ("/f/sequences/drop?x", 200)),
        *(("/f/ascii/a", 200), ("/f/ascii/%C3%A9", 404)),
    ],
)
def test_filtering_refuses_before_anybody_is_asked(site, asked, status):
    method, _, path = asked.rpartition(" ")
    answer = site.ask(path, method or "GET")
    assert (answer.status, answer.headers["X-By"]) == (status, "python" if status == 200 else None)


def chunks(*pieces):
    yield from pieces


@pytest.mark.parametrize(
    ("body", "status"),
    [
        *((b"x" * 10, 200), (b"x" * 11, 413), (b"x" * 3_000_000, 413), (b"", 200)),
        *(((b"x" * 5, b"y" * 5), 200), ((b"x" * 5, b"y" * 6), 413), ((b"x" * 40_000,) * 80, 413)),
    ],
)
def test_a_body_may_be_so_long(site, body, status):
    answer = site.ask("/f/limits/a", "POST", chunks(*body) if isinstance(body, tuple) else body)
    assert answer.status == status
    if status == 200:
        assert json.loads(answer.text)["body"] == len(b"".join(body) if isinstance(body, tuple) else body)
    else:
        assert "maxAllowedContentLength" in answer.text or "more than 10 bytes" in answer.text


def test_a_body_that_is_too_long_is_refused_before_it_is_sent(site):
    head = b"POST /f/limits/a HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n"
    with site.connect() as connection:
        connection.sendall(head)
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_header_may_be_so_long(site):
    assert site.ask("/f/limits/a", X_Long="abc").status == 200
    assert site.ask("/f/limits/a", X_Long="abcd").status == 431


# Several sites, virtual applications and directories


@contextmanager
def hosted_at(port, folder, sites):
    """Serve sites at a port that their bindings name, which has to be known before."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kit, "free_port", lambda: port)
            made = stack.enter_context(hosted(folder, sites=sites))
        yield made


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    """Three sites at one port; the first has places besides its root."""
    base = tmp_path_factory.mktemp("sites")
    for name in ("one", "two", "usual", "app", "inner"):
        lay(base / name, {"app.py": APP.replace('"python"', f'"{name}"'), "web.config": config(), "a.txt": name})
    lay(
        base / "pics",
        {"web.config": handlers('<remove name="Python_via_FastCGI" />'), "a.txt": "pics", "in/a.txt": "in"},
    )
    lay(base / "one", {"pics/b.txt": "behind", "web.config": config(server=f"<handlers>{PYTHON}</handlers>")})
    lay(base / "pics", {"web.config": handlers(GONE)})
    port = free_port()
    places = [["", "one", True], ["/app", "app", True], ["/app/inner", "inner", True], ["/pics", "pics", False]]
    told = [
        {"bindings": [[port, "one.test"]], "places": [[at, str(base / name), is_app] for at, name, is_app in places]},
        {"bindings": [[port, "Two.test"], [port, "alias.test"]], "places": [["", str(base / "two"), True]]},
        {"bindings": [[port, ""]], "places": [["", str(base / "usual"), True]]},
    ]
    with hosted_at(port, base / "one", told) as made:
        yield made


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        *(("one.test", "/", "one"), ("ONE.test:81", "/", "one"), ("two.test", "/", "two"), ("alias.test", "/", "two")),
        *(("other.test", "/", "usual"), ("", "/", "usual"), ("127.0.0.1", "/app/", "usual")),
        *(("one.test", "/a.txt", "one"), ("one.test", "/app", "app"), ("one.test", "/App/a.txt", "app")),
        *(("one.test", "/apple", "one"), ("one.test", "/app/inner/x", "inner"), ("one.test", "/app/inners", "app")),
        *(("one.test", "/x/app/", "one"), ("one.test", "/pics/a.txt", "pics"), ("one.test", "/PICS/IN/a.txt", "in")),
        *(("one.test", "/pics/b.txt", 404), ("one.test", "/pics/../app/x", "app"), ("two.test", "/pics/a.txt", "two")),
    ],
)
def test_an_address_belongs_to_a_site_and_an_application(sites, host, path, expected):
    assert who(sites.ask(path, Host=host)) == expected


def test_an_application_is_told_where_it_is(sites):
    environ = json.loads(sites.ask("/app/inner/x?y", Host="one.test").text)
    assert environ["APPL_PHYSICAL_PATH"] == str(sites.folder.parent / "inner") + "/"
    assert environ["APPL_MD_PATH"] == "/LM/W3SVC/1/ROOT/app/inner"
    assert (environ["PATH_INFO"], environ["HTTP_HOST"], environ["SERVER_NAME"]) == ("/app/inner/x", *["one.test"] * 2)


def test_a_name_that_no_site_has_is_refused(tmp_path):
    lay(
        tmp_path,
        {f"{name}/{file}": text for name in "ab" for file, text in (("app.py", APP), ("web.config", config()))},
    )
    port = free_port()
    told = [{"bindings": [[port, f"{name}.test"]], "places": [["", str(tmp_path / name), True]]} for name in "ab"]
    with hosted_at(port, tmp_path / "a", told) as site:
        assert site.ask("/", Host="b.test").status == 200
        answer = site.ask("/", Host="c.test")
        assert (answer.status, "c.test" in answer.text) == (400, True)
        assert site.say(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /a HTTP/1.1\nHost: x\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: y\r\n\tz\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", 400),
    ],
)
def test_what_is_no_request_is_answered_and_the_connection_ends(site, sent, status):
    found = site.say(sent + b"GET /second HTTP/1.1\r\nHost: x\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 %d " % status)
    assert b"second" not in found


def test_an_address_without_an_end_is_refused(site):
    assert site.say(b"GET /" + b"a" * 70_000).startswith(b"HTTP/1.1 414 ")
