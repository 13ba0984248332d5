"""What a look at the front end has found to be other than in IIS."""

import email
import json
from pathlib import Path
from types import MappingProxyType

import pytest
from conftest import free_port, until
from hosted import config, hosted, lay
from test_iis import APP, PYTHON, hosted_at, nested, who
from test_program import PROGRAM, platform
from test_rewrite import rule, to

from emulator.hosts import http1, windows_paths

REMOVED = '<handlers><remove name="Python_via_FastCGI" /></handlers>'


@pytest.fixture
def serve(tmp_path):
    """Serve files of a site, the first time it is called."""
    entered = []

    def begin(server="", files=MappingProxyType({})):
        base = {"app.py": APP, "web.config": server if "<?xml" in server else config(server=server)}
        made = hosted(lay(tmp_path / "site", {**base, **files}), {"AllowPathInfoForScriptMappings": "1"})
        entered.append(made)
        return made.__enter__()

    yield begin
    for made in entered:
        made.__exit__(None, None, None)


def ruled(*rules):
    return f"<rewrite><rules>{''.join(rules)}</rules></rewrite>"


def rewritten(site, path, **headers):
    return json.loads(site.ask(path, **headers).text)["SCRIPT_NAME"]


def places_of(tmp_path, *folders):
    """One site, whose places are folders by their addresses."""
    places = [[at, str(tmp_path / name), is_app] for at, name, is_app in folders]
    return [{"bindings": [], "places": places}]


# A


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 11\r\n\r\n0123456789",
        b"Transfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n",
    ],
)
def test_a_client_that_does_not_go_after_its_answer_is_closed(serve, body):
    site = serve(
        '<security><requestFiltering><requestLimits maxAllowedContentLength="10" /></requestFiltering></security>'
    )
    with site.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + body)
        while connection.recv(1000):
            pass
        ends = [f":{port:04X}" for port in (site.port, connection.getsockname()[1])]

        def is_closed():
            """Whether no process has the server's end any more."""
            lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
            return not any([line[1][8:], line[2][8:]] == ends and line[9] != "0" for line in lines)

        until(is_closed, 10)


def test_a_default_document_that_is_a_link_out_of_the_site_is_none(serve):
    site = serve(REMOVED, files={"docs/x": ""})
    (site.folder.parent / "secret.html").write_text("SECRET")
    (site.folder / "docs" / "index.html").symlink_to("../../secret.html")
    assert site.ask("/docs/").status in {403, 404}


@pytest.mark.parametrize(
    "path",
    ["/%C3%BC%20b.txt", "/Gr%C3%B6%C3%9Fe/%C3%84.txt", "/gr%C3%B6%C3%9Fe/%C3%A4.TXT", "/%E6%97%A5.txt", "/%c3%bc/"],
)
def test_names_may_have_any_letters(serve, path):
    site = serve(REMOVED, files={"ü b.txt": "u", "Größe/Ä.txt": "a", "日.txt": "j", "ü/index.html": "i"})
    assert site.ask(path).status == 200


def test_a_rule_finds_a_file_whose_name_is_not_ascii(serve):
    there = '<add input="{REQUEST_FILENAME}" matchType="IsFile" />'
    site = serve(ruled(rule('url=".*"', to("new"), there)), files={"é.txt": ""})
    assert rewritten(site, "/%C3%A9.txt") == "/new"


def test_a_nested_config_counts_in_a_folder_whose_name_is_not_ascii(serve):
    site = serve(files={"é/a.txt": "a", "é/web.config": nested(REMOVED)})
    assert site.get("/%C3%A9/a.txt") == "a"


@pytest.mark.parametrize("path", ["/static/a.css", "/static/css/a.css", "/static/css/deep/a.css"])
def test_a_handler_of_a_folder_has_the_files_of_folders_in_it(serve, path):
    own = (
        '<add name="S" path="static/*" verb="*" modules="StaticFileModule" resourceType="File" requireAccess="Read" />'
    )
    site = serve(f"<handlers>{own}</handlers>", files={f"static/{at}a.css": "css" for at in ("", "css/", "css/deep/")})
    assert site.get(path) == "css"


def test_what_web_config_says_of_names_that_are_not_ascii_counts(serve):
    located = '<location path="privé"><system.webServer><handlers><clear /></handlers></system.webServer></location>'
    site = serve(
        config(
            server='<security><requestFiltering><hiddenSegments><add segment="caché" /></hiddenSegments>'
            '<denyUrlSequences><add sequence="né" /></denyUrlSequences></requestFiltering></security>'
            '<handlers><add name="a" path="É.do" modules="CgiModule" /></handlers>'
        ).replace("</configuration>", f"{located}</configuration>")
    )
    for path in ("/cach%C3%A9/x", "/n%C3%A9/x", "/priv%C3%A9/x"):
        assert site.ask(path).status == 404
    assert who(site.ask("/%C3%A9.do/x")) == "python"


# B


def test_the_config_of_a_folder_counts_without_a_slash_too(serve):
    site = serve(files={"static/a.css": "css", "static/web.config": nested(REMOVED)})
    assert site.ask("/static").headers["Location"] == "/static/"


def test_an_application_is_asked_without_a_slash_too(tmp_path):
    lay(tmp_path / "one", {"web.config": config(server=REMOVED)})
    lay(tmp_path / "app", {"web.config": config(server=f"<handlers>{PYTHON}</handlers>"), "app.py": APP})
    sites = places_of(tmp_path, ["", "one", True], ["/app", "app", True])
    with hosted(tmp_path / "one", sites=sites) as site:
        assert [who(site.ask(path)) for path in ("/app/", "/app")] == ["python", "python"]


def test_an_application_lies_below_a_folder_that_is_not_there(tmp_path):
    lay(tmp_path / "one", {"web.config": config(), "app.py": APP})
    lay(tmp_path / "pics", {"web.config": nested(REMOVED), "a.txt": "pics"})
    sites = places_of(tmp_path, ["", "one", True], ["/no/pics", "pics", False])
    with hosted(tmp_path / "one", sites=sites) as site:
        assert site.get("/no/pics/a.txt") == "pics"


@pytest.mark.parametrize("path", ["/", "/s/d", "/s/none.txt", "/bin/x"])
def test_every_answer_has_the_custom_headers(serve, path):
    own = '<httpProtocol><customHeaders><add name="X-Own" value="1" /></customHeaders></httpProtocol>'
    site = serve(own, files={"s/web.config": nested(REMOVED), "s/d/x": ""})
    assert site.ask(path).headers["X-Own"] == "1"


def test_a_variable_is_set_over_what_is_there_only_if_the_rule_says_so(serve):
    kept = '<serverVariables><set name="HTTP_X_SET" value="mine" replace="false" /></serverVariables>'
    site = serve(ruled(rule('url=".*"', kept + to("new"))))
    assert json.loads(site.ask("/a").text)["HTTP_X_SET"] == "mine"
    assert json.loads(site.ask("/a", X_Set="client").text)["HTTP_X_SET"] == "client"


SET = '<serverVariables><set name="HTTP_X_SET" value="mine" /></serverVariables>'


def test_a_later_rule_sees_the_variable_that_an_earlier_one_has_set(serve):
    both = rule('url=".*"', SET + '<action type="None" />', name="1") + rule('url=".*"', to("{HTTP_X_SET}"), name="2")
    assert rewritten(serve(ruled(both)), "/a") == "/mine"


def test_a_site_has_many_rules(serve):
    many = "".join(rule(f'url="^a{number}$"', to(f"b{number}"), name=str(number)) for number in range(150))
    assert rewritten(serve(ruled(many)), "/a140") == "/b140"


A, B = (f'<add input="{{QUERY_STRING}}" pattern="{name}=(\\d)" />' for name in "ab")
NO_FILE = '<add input="{URL}" matchType="IsFile" negate="true" />'


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [(f'<conditions trackAllCaptures="true">{A}{B}</conditions>', "/n-12"), (A + NO_FILE, "/n-1")],
)
def test_captures_of_conditions_are_kept(serve, conditions, expected):
    site = serve(ruled(rule('url=".*"', to("n-{C:1}{C:2}"), conditions)))
    assert rewritten(site, "/a?a=1&b=2") == expected


def test_a_program_is_asked_for_the_rewritten_address_with_the_variables_that_are_set(tmp_path):
    own = ruled(rule('url="^old/(.*)"', SET + to("new/{R:1}?b"))) + "<httpPlatform "
    served = platform("server.py %HTTP_PLATFORM_PORT%").replace("<httpPlatform ", own)
    with hosted(lay(tmp_path / "site", {"server.py": PROGRAM, "web.config": served})) as site:
        told = json.loads(site.ask("/old/x?a").text)
        assert (told["path"], told["headers"].get("X-Set")) == ("/new/x?b&a", "mine")


@pytest.mark.parametrize(
    ("text", "expected"),
    [('--t="a b" x', ["--t=a b", "x"]), ('"a b"c', ["a bc"]), ('a"b"', ["ab"]), ('-D"a b"="c d"', ["-Da b=c d"])],
)
def test_quotation_marks_hold_a_word_together_wherever_they_stand(text, expected):
    assert windows_paths.words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, text) for text in ("D:\\home\\site\\wwwroot2\\a", "D:\\home\\LogFiles2\\a")),
        ("E:\\x\\home\\site\\wwwroot\\a", "E:\\x\\home\\site\\wwwroot\\a"),
        ("D:\\home\\site\\wwwroot\\%A%", "/w/%A%"),
        ("\\\\?\\%home%\\LogFiles\\stdout", "/l/stdout"),
    ],
)
def test_only_a_whole_path_of_app_service_is_one_of_here(text, expected):
    assert windows_paths.Places(Path("/w"), Path("/l")).local(text) == expected


@pytest.mark.parametrize("path", ["/noextension", "/b.zzz"])
def test_a_type_may_be_that_of_all_others(serve, path):
    types = '<mimeMap fileExtension="." mimeType="text/plain" /><mimeMap fileExtension=".*" mimeType="a/b" />'
    site = serve(f"{REMOVED}<staticContent>{types}</staticContent>", files={"noextension": "x", "b.zzz": "x"})
    assert site.ask(path).status == 200


def test_the_location_that_is_nearest_counts_last(serve):
    located = "".join(
        f'<location path="{path}"><system.webServer><handlers>{inner}</handlers></system.webServer></location>'
        for path, inner in (("a/b", PYTHON), ("a", "<clear />"))
    )
    site = serve(config().replace("</configuration>", f"{located}</configuration>"))
    assert [who(site.ask(path)) for path in ("/a/x", "/a/b/x")] == [404, "python"]


def test_a_location_may_not_count_for_applications_below(tmp_path):
    own = '<location path="." inheritInChildApplications="false"><system.webServer><handlers><clear /></handlers>'
    own += "</system.webServer></location></configuration>"
    lay(tmp_path / "one", {"web.config": config().replace("</configuration>", own), "app.py": APP})
    lay(tmp_path / "app", {"web.config": config(), "app.py": APP})
    sites = places_of(tmp_path, ["", "one", True], ["/app", "app", True])
    with hosted(tmp_path / "one", sites=sites) as site:
        assert [who(site.ask(path)) for path in ("/x", "/app/x")] == [404, "python"]


def test_a_folder_may_end_what_caches_are_told_above(serve):
    told = '<staticContent><clientCache cacheControlMode="{}" cacheControlMaxAge="00:01:00" /></staticContent>'
    site = serve(
        REMOVED + told.format("UseMaxAge"), files={"s/web.config": nested(told.format("NoControl")), "s/a.txt": ""}
    )
    assert site.ask("/s/a.txt").headers["Cache-Control"] is None


def test_a_file_may_expire_at_a_moment(serve):
    moment = "Tue, 19 Jan 2038 03:14:07 GMT"
    told = f'<staticContent><clientCache cacheControlMode="UseExpires" httpExpires="{moment}" /></staticContent>'
    assert serve(REMOVED + told, files={"a.txt": ""}).ask("/a.txt").headers["Expires"] == moment


@pytest.mark.parametrize(
    ("path", "location"), [("/old/a%25b", "/a%25b"), ("/old/a%3Fb", "/a%3Fb"), ("/old/a%23b", "/a%23b")]
)
def test_what_a_redirect_captures_is_escaped_again(serve, path, location):
    own = rule('url="^old/(.*)"', '<action type="Redirect" url="/{R:1}" />')
    assert serve(ruled(own)).ask(path).headers["Location"] == location


def test_a_question_mark_of_the_path_begins_no_query(serve):
    site = serve(ruled(rule('url="^(.*)"', to("handler.fcgi/{R:1}"))))
    assert json.loads(site.get("/old/a%3Fadmin=1"))["QUERY_STRING"] == ""


# C


@pytest.mark.parametrize("query", ["", "?a=b"])
def test_an_address_may_be_so_long_with_or_without_a_query(serve, query):
    site = serve('<security><requestFiltering><requestLimits maxUrl="30" /></requestFiltering></security>')
    assert [site.ask(f"/{'a' * size}{query}").status for size in (29, 30)] == [200, 404]


def test_a_weak_tag_is_none_to_change_by(serve):
    site = serve(REMOVED, files={"a.txt": "a"})
    assert site.ask("/a.txt", If_Match=f"W/{site.ask('/a.txt').headers['ETag']}").status == 412


def test_parts_are_read_by_others(serve):
    answer = serve(REMOVED, files={"a.txt": "0123456789"}).ask("/a.txt", Range="bytes=0-1,3-4")
    message = email.message_from_bytes(f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode() + answer.body)
    assert [part.get_payload() for part in message.get_payload()] == ["01", "34"]


@pytest.mark.parametrize("method", [b"G@T", b"G\0T", b"G(T)", b"\xc3"])
def test_a_method_that_is_none_is_refused(method):
    with pytest.raises(http1.Refused) as refused:
        http1.parse(method + b" / HTTP/1.1\r\nHost: x")
    assert refused.value.status == 400


def test_an_address_without_an_extension_is_not_listed_either(serve):
    listed = '<fileExtensions allowUnlisted="false"><add fileExtension=".txt" allowed="true" /></fileExtensions>'
    site = serve(f"<security><requestFiltering>{listed}</requestFiltering></security>")
    assert [site.ask(path).status for path in ("/a.txt", "/a")] == [200, 404]


def test_the_host_of_an_absolute_address_counts(tmp_path):
    for name in "ab":
        lay(tmp_path / name, {"app.py": APP.replace('"python"', f'"{name}"'), "web.config": config()})
    port = free_port()
    told = [{"bindings": [[port, f"{name}.test"]], "places": [["", str(tmp_path / name), True]]} for name in "ab"]
    with hosted_at(port, tmp_path / "a", told) as site:
        assert b"X-By: b" in site.say(b"GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")


def test_a_folder_is_no_other_server(serve):
    assert not serve(REMOVED, files={"static/x": ""}).ask("//static").headers["Location"].startswith("//")


def test_digits_are_those_of_ecmascript(serve):
    site = serve(ruled(rule('url="^\\d+$"', to("new"))))
    assert [rewritten(site, path) for path in ("/12", "/%D9%A1")] == ["/new", "/Ù¡"]


def test_the_config_of_the_site_counts_once_for_an_address_with_two_slashes(serve):
    assert rewritten(serve(ruled(rule('url="^a$"', to("/b")))), "//a") == "//a"


def test_a_head_of_unknown_length_has_none(tmp_path):
    program = PROGRAM.replace('{"Content-Length": str(len(answer)), ', '{"Transfer-Encoding": "chunked", ')
    files = {"server.py": program, "web.config": platform("server.py %HTTP_PLATFORM_PORT%")}
    with hosted(lay(tmp_path / "site", files)) as site:
        assert site.ask("/", "HEAD").headers["Content-Length"] is None
