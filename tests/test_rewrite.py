"""Rules of the rewrite module as a site has them: where requests end up, and what the application is told of it."""

import json

import pytest
from hosted import config, hosted, lay

APP = """
import json

def app(environ, start):
    start("200 OK", [("X-By", "python")])
    return [json.dumps({name: value for name, value in environ.items() if isinstance(value, str)}).encode()]
"""
SHARED = (
    '<rewrite><rules><rule name="Shared"><match url="^([^/]+)/.*shared" />'
    '<action type="Rewrite" url="{R:1}/all" /></rule></rules></rewrite>'
)


def nested(server, before=""):
    return f"<configuration>{before}<system.webServer>{server}</system.webServer></configuration>"


def rule(match, action, conditions="", more="", name="Rule"):
    """A rule; `match` are the attributes of its match, `more` its own, `action` what stands in it after conditions."""
    grouped = conditions if conditions.startswith("<conditions") else f"<conditions>{conditions}</conditions>"
    return f'<rule name="{name}" {more}><match {match} />{grouped}{action}</rule>'


def to(url, more=""):
    return f'<action type="Rewrite" url="{url}" {more} />'


def rules(*some, more=""):
    return nested(f"<rewrite>{more}<rules>{''.join(some)}</rules></rewrite>")


def when(url, **attributes):
    """A rule that rewrites to `new` under one condition."""
    words = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    return rules(rule('url=".*"', to(url), f"<add {words} />"))


OLD = 'url="^old/(.*)$"'
CONTINUED = (rule('url="^a$"', to("b"), name="1"), rule('url="^b$"', to("c"), name="2"))
FILE = {"input": "{REQUEST_FILENAME}", "matchType": "IsFile"}
FOLDER = {"input": "{REQUEST_FILENAME}", "matchType": "IsDirectory"}
MAPS = (
    '<rewriteMaps><rewriteMap name="Colours" defaultValue="grey"><add key="Sky" value="blue" /></rewriteMap>'
    '<rewriteMap name="Exact" ignoreCase="false"><add key="Sky" value="blue" /></rewriteMap></rewriteMaps>'
)
TWO = '<add input="{QUERY_STRING}" pattern="a=(\\d)" /><add input="{QUERY_STRING}" pattern="b=(\\d)" />'
ANY = f'<conditions logicalGrouping="MatchAny">{TWO}</conditions>'
NOTHING_THERE = "".join(
    f'<add input="{{REQUEST_FILENAME}}" matchType="{kind}" negate="true" />' for kind in ("IsFile", "IsDirectory")
)
INDEXED = rules(rule('url="(.*)"', to("index.fcgi/{R:1}"), NOTHING_THERE))
REWRITES = [
    # What the folder's web.config has, what is asked below the folder, and where that leads below it.
    (rules(rule(OLD, to("new/{R:1}"))), "old/a/b", "new/a/b"),
    (rules(rule(OLD, to("new/{R:1}"))), "OLD/A", "new/A"),
    (rules(rule(OLD, to("new/{R:1}"))), "older", "older"),
    (rules(rule(f'{OLD} ignoreCase="false"', to("new"))), "OLD/a", "OLD/a"),
    (rules(rule('url="l"', to("new"))), "old", "new"),
    (rules(rule('url="(b)(x)?"', to("{R:0}-{R:1}-{R:2}-{R:3}-{R:7}"))), "abc", "b-b---"),
    (rules(rule('url="^keep" negate="true"', to("new"))), "other", "new"),
    (rules(rule('url="^keep" negate="true"', to("new"))), "keep/it", "keep/it"),
    (rules(rule('url="^a%20b$"', to("new"))), "a%20b", "a b"),
    (rules(rule('url="^a b$"', to("new"))), "a%20b", "new"),
    (rules(rule('url="^prix-é$"', to("new"))), "prix-%C3%A9", "new"),
    # Conditions
    (when("new", **FILE), "there.txt", "new"),
    (when("new", **FILE), "missing.txt", "missing.txt"),
    (when("new", **FILE), "inner", "inner"),
    (when("new", **FILE, negate="true"), "missing.txt", "new"),
    (when("new", **FILE, negate="true"), "THERE.txt", "THERE.txt"),
    (when("new", **FOLDER), "inner", "new"),
    (when("new", **FOLDER), "there.txt", "there.txt"),
    (when("new", **FOLDER, negate="true"), "inner/", "inner/"),
    (when("new", input="{REQUEST_FILENAME}.txt", matchType="IsFile"), "there", "new"),
    (INDEXED, "there.txt", "there.txt"),
    (INDEXED, "inner", "inner"),
    (INDEXED, "wiki/page", "index.fcgi/wiki/page"),
    (when("new/{C:1}-{C:0}", input="{QUERY_STRING}", pattern="id=(\\d+)"), "a?id=12x", "new/12-id=12?id=12x"),
    (when("new", input="{QUERY_STRING}", pattern="id=(\\d+)"), "a?id=x", "a?id=x"),
    (when("new", input="{QUERY_STRING}", pattern="ID"), "a?id", "new?id"),
    (when("new", input="{QUERY_STRING}", pattern="ID", ignoreCase="false"), "a?id", "a?id"),
    (when("new", input="{QUERY_STRING}", pattern="id", negate="true"), "a", "new"),
    (when("new", input="{QUERY_STRING}", pattern="id", negate="true"), "a?id", "a?id"),
    (rules(rule('url="(.*)"', to("{R:1}{C:1}"), TWO)), "n?b=2&a=1", "n2?b=2&a=1"),
    (rules(rule('url="(.*)"', to("{R:1}{C:1}"), TWO)), "n?b=2", "n?b=2"),
    (rules(rule('url="(.*)"', to("{R:1}{C:1}"), ANY)), "n?b=2", "n2?b=2"),
    (rules(rule('url="(.*)"', to("{R:1}{C:1}"), ANY)), "n?b=2&a=1", "n1?b=2&a=1"),
    (rules(rule('url="(.*)"', to("{R:1}{C:1}"), ANY)), "n?c=2", "n?c=2"),
    # Variables, functions and maps
    (when("new/{C:1}", input="{HTTP_HOST}", pattern="^([\\d.]+):\\d+$"), "a", "new/127.0.0.1"),
    (when("new/{C:0}", input="{HTTP_X_KIND}", pattern=".+"), "a", "new/Some"),
    (rules(rule('url="a"', to("{REQUEST_METHOD}-{HTTPS}-{SERVER_PROTOCOL}-{NO_SUCH}."))), "a", "GET-off-HTTP/1.1-."),
    (rules(rule('url="a"', to("{SERVER_NAME}-{REMOTE_ADDR}{LOCAL_ADDR}"))), "a", "127.0.0.1-127.0.0.1127.0.0.1"),
    (rules(rule('url="a"', to("/q{QUERY_STRING}"))), "a?b", "/qb?b"),
    (rules(rule('url="^(.*)$"', to("{ToLower:{R:1}}"))), "ABC", "abc"),
    (rules(rule('url="^(.*)$"', to("{UrlEncode:{R:1}}"))), "a%20b/c", "a%20b%2Fc"),
    (rules(rule('url="^a$"', to("{UrlDecode:%41%42}"))), "a", "AB"),
    (rules(rule('url="^(.*)$"', to("{Colours:{ToLower:{R:1}}}")), more=MAPS), "SKY", "blue"),
    (rules(rule('url="^(.*)$"', to("{colours:{R:1}}")), more=MAPS), "sea", "grey"),
    (rules(rule('url="^(.*)$"', to("x{Exact:{R:1}}")), more=MAPS), "sky", "x"),
    (rules(rule('url="(.*)"', to("{C:1}"), '<add input="{Exact:{R:1}}" pattern="(.+)" />'), more=MAPS), "Sky", "blue"),
    # Queries
    (rules(rule(OLD, to("new"))), "old/?x=1&y=2", "new?x=1&y=2"),
    (rules(rule(OLD, to("new", 'appendQueryString="false"'))), "old/?x=1", "new"),
    (rules(rule(OLD, to("new?id={R:1}"))), "old/5", "new?id=5"),
    (rules(rule(OLD, to("new?id={R:1}"))), "old/5?x=1", "new?id=5&x=1"),
    (rules(rule(OLD, to("new?id={R:1}", 'appendQueryString="false"'))), "old/5?x=1", "new?id=5"),
    (rules(rule(OLD, to("new?{QUERY_STRING}&amp;z", 'appendQueryString="false"'))), "old/?x=1", "new?x=1&z"),
    # Several rules
    (rules(*CONTINUED), "a", "c"),
    (rules(CONTINUED[0].replace('name="1"', 'name="1" stopProcessing="true"'), CONTINUED[1]), "a", "b"),
    (rules(CONTINUED[0].replace('name="1"', 'name="1" enabled="false"'), CONTINUED[1]), "a", "a"),
    (rules(rule('url="^a"', '<action type="None" />', more='stopProcessing="true"'), *CONTINUED), "a", "a"),
    (rules(rule('url="^a"', '<action type="None" />'), *CONTINUED), "a", "c"),
    # Syntaxes
    (
        rules(rule('url="old/*/x-*"', to("{R:1}/{R:2}/{R:0}"), more='patternSyntax="Wildcard"')),
        "old/a/b/x-c",
        "a/b/c/old/a/b/x-c",
    ),
    (rules(rule('url="old.*"', to("new"), more='patternSyntax="Wildcard"')), "olda", "olda"),
    (rules(rule('url="old"', to("new"), more='patternSyntax="Wildcard"')), "older", "older"),
    (rules(rule('url="a.*(c"', to("new"), more='patternSyntax="ExactMatch"')), "A.*(C", "new"),
    (rules(rule('url="a.c"', to("new"), more='patternSyntax="ExactMatch"')), "abc", "abc"),
    (rules(rule('url="a.c"', to("new"), more='patternSyntax="ExactMatch"')), "xa.c", "xa.c"),
    (
        rules(
            rule('url="*"', to("{C:1}"), '<add input="{HTTP_X_KIND}" pattern="S*e" />', more='patternSyntax="Wildcard"')
        ),
        "a",
        "om",
    ),
    # Rules of folders above
    (nested(""), "x/shared", "all"),
    (rules('<remove name="shared" />'), "x/shared", "x/shared"),
    (rules("<clear />"), "x/shared", "x/shared"),
    (rules("<clear />", rule('url="shared"', to("own"))), "x/shared", "own"),
    (rules(rule('url="^all$"', to("own"))), "x/shared", "own"),
]


def redirect(url, more=""):
    return rules(rule(OLD, f'<action type="Redirect" url="{url}" {more} />'))


REDIRECTS = [
    (redirect("new/{R:1}"), "old/a", 301, "@/new/a"),
    (redirect("/new", 'redirectType="Permanent"'), "old/", 301, "/new"),
    (redirect("/new", 'redirectType="Found"'), "old/", 302, "/new"),
    (redirect("/new", 'redirectType="SeeOther"'), "old/", 303, "/new"),
    (redirect("/new", 'redirectType="Temporary"'), "old/", 307, "/new"),
    (redirect("https://other.example:81/{R:1}"), "old/a/b?x=%20", 301, "https://other.example:81/a/b?x=%20"),
    (redirect("/new?b={R:1}"), "old/1?c=2", 301, "/new?b=1&c=2"),
    (redirect("/new?b={R:1}", 'appendQueryString="false"'), "old/1?c=2", 301, "/new?b=1"),
    (redirect("/new", 'appendQueryString="false"'), "old/1?c=2", 301, "/new"),
    (redirect("/{R:1}"), "old/%C3%A9%20b", 301, "/%C3%A9%20b"),
]
CUSTOM = 'type="CustomResponse" statusCode="410" subStatusCode="1" statusReason="Away" statusDescription="No {R:1}é"'
FAULTS = [
    (rules("\n", rule('url="(a"', to("new"))), "a", 2, "the pattern '(a' is not well-formed"),
    (when("new", input="{QUERY_STRING}", pattern="*"), "a", 1, "the pattern '*' is not well-formed"),
    (rules("\n\n", rule('url="a"', to("http://other.example/{R:0}"))), "a", 3, "a rewrite to another server"),
]
STATIC = '<handlers><remove name="Python_via_FastCGI" /></handlers>'
VARIABLES = (
    '<serverVariables><set name="HTTP_X_SET" value="{R:1}-{C:1}" />'
    '<set name="LOGON-USER" value="é" /></serverVariables>'
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """One folder for each row of the tables, in each the same few files."""
    files = {"app.py": APP, "web.config": config(server=SHARED)}
    tables = {"rewrites": REWRITES, "redirects": REDIRECTS, "faults": FAULTS}
    configs = {f"{name}{number}": row[0] for name, table in tables.items() for number, row in enumerate(table)}
    configs["custom"] = rules(rule('url="(a+)"', f"<action {CUSTOM} />"))
    configs["abort"] = rules(rule('url="a"', '<action type="AbortRequest" />'))
    above = '<add input="{QUERY_STRING}" pattern="(.+)" />'
    configs["variables"] = rules(rule('url="(a)"', VARIABLES + to("new"), above))
    configs["outside"] = rules(rule('url="(.*)"', to("{QUERY_STRING}", 'appendQueryString="false"')))
    configs["into"] = rules(rule('url="^(.*)$"', to("/files/{R:1}")))
    for name, content in configs.items():
        files |= {f"{name}/web.config": content, f"{name}/there.txt": "", f"{name}/inner/x": ""}
    files |= {"files/web.config": nested(STATIC), "files/a.txt": "a file"}
    folder = lay(tmp_path_factory.mktemp("rewrite") / "site", files)
    (folder.parent / "secret.txt").write_text("SECRET")
    with hosted(folder, {"AllowPathInfoForScriptMappings": "1"}) as made:
        yield made


def numbered(table):
    return [pytest.param(number, *row[1:], id=f"{number}-{row[1]}") for number, row in enumerate(table)]


@pytest.mark.parametrize(("number", "asked", "expected"), numbered(REWRITES))
def test_a_request_ends_up_where_rules_lead_it(site, number, asked, expected):
    folder = f"/rewrites{number}"
    environ = json.loads(site.ask(f"{folder}/{asked}", X_Kind="Some").text)
    query = f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
    assert environ["SCRIPT_NAME"] + query == (expected if expected.startswith("/") else f"{folder}/{expected}")
    path, _, query = asked.partition("?")
    assert environ["PATH_INFO"] == f"{folder}/{path}".replace("%20", " ").replace("%C3%A9", "Ã©")
    if "HTTP_X_ORIGINAL_URL" in environ:
        assert environ["HTTP_X_ORIGINAL_URL"] == environ["PATH_INFO"] + (f"?{query}" if query else "")
        assert environ["IIS_WasUrlRewritten"] == "1"
    else:
        assert environ["SCRIPT_NAME"] == environ["PATH_INFO"]
    assert environ["REQUEST_URI"] == f"{folder}/{asked}"


@pytest.mark.parametrize(("number", "asked", "status", "location"), numbered(REDIRECTS))
def test_a_client_is_sent_elsewhere(site, number, asked, status, location):
    answer = site.ask(f"/redirects{number}/{asked}")
    assert (answer.status, answer.headers["Location"]) == (status, location.replace("@", f"/redirects{number}"))
    assert "X-By" not in answer.headers


def test_a_rule_answers_by_itself(site):
    answer = site.ask("/custom/aa")
    assert (answer.status, answer.reason, answer.text) == (410, "Away", "No aaé")


def test_a_rule_breaks_the_connection_off(site):
    assert site.say(b"GET /abort/a HTTP/1.1\r\nHost: x\r\n\r\n") == b""
    assert site.get("/abort/b")


@pytest.mark.parametrize(("number", "asked", "line", "why"), numbered(FAULTS))
def test_a_rule_that_cannot_be_followed_is_told_by_file_and_line(site, number, asked, line, why):
    answer = site.ask(f"/faults{number}/{asked}")
    assert answer.status == 500
    assert f"faults{number}/web.config:{line}: {why}" in answer.text
    assert answer.text in site.output


def test_a_rule_sets_server_variables(site):
    environ = json.loads(site.ask("/variables/a?q", X_Set="of the client").text)
    assert (environ["HTTP_X_SET"], environ["LOGON_USER"]) == ("a-q", "Ã©")
    assert json.loads(site.ask("/variables/b?q", X_Set="of the client").text)["HTTP_X_SET"] == "of the client"


def test_a_client_cannot_say_what_the_address_was(site):
    environ = json.loads(site.ask("/custom/b", X_Original_URL="/forged").text)
    assert environ["PATH_INFO"] == "/custom/b"
    assert "HTTP_X_ORIGINAL_URL" not in environ


def test_a_rewritten_address_has_the_handlers_of_where_it_leads(site):
    answer = site.ask("/into/a.txt")
    assert (answer.text, answer.headers["X-By"]) == ("a file", None)
    assert site.ask("/into/b.txt").status == 404


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("../../secret.txt", 400),
        ("..\\..\\secret.txt", 400),
        ("/files/../../secret.txt", 400),
        ("/files/..", 200),
        ("/files/%2e%2e/%2e%2e/secret.txt", 404),
        ("//../secret.txt", 200),
        ("file:///etc/passwd", 500),
    ],
)
def test_a_rewrite_never_leads_out_of_the_site(site, target, status):
    answer = site.ask(f"/outside/a?{target}")
    assert (answer.status, "SECRET" in answer.text) == (status, False)


SEED = """<?xml version="1.0"?>
<configuration>
  <appSettings><add key="WSGI_HANDLER" value="app.app" /></appSettings>
  <system.web><compilation debug="true" targetFramework="4.0" /></system.web>
  <system.webServer>
    <modules runAllManagedModulesForAllRequests="true" />
    <handlers>
      <remove name="Python273_via_FastCGI" />
      <remove name="Python340_via_FastCGI" />
      <add name="Python FastCGI" path="handler.fcgi" verb="*" modules="FastCgiModule"
           scriptProcessor="D:\\Python34\\python.exe|D:\\Python34\\Scripts\\wfastcgi.py"
           resourceType="Unspecified" requireAccess="Script" />
    </handlers>
    <rewrite><rules>
      <rule name="Static Files" stopProcessing="true">%s</rule>
      <rule name="Configure Python" stopProcessing="true">
        <match url="(.*)" ignoreCase="false" /><conditions></conditions>
        <action type="Rewrite" url="handler.fcgi/{R:1}" appendQueryString="true" />
      </rule>
    </rules></rewrite>
  </system.webServer>
</configuration>
"""
SAME_PLACE = '<conditions><add input="true" pattern="false" /></conditions>'
OTHER_PLACE = """<match url="^/static/.*" ignoreCase="true" />
<action type="Rewrite" url="^/FlaskWebProject/static/.*" appendQueryString="true" />"""


@pytest.mark.parametrize(
    ("static", "behaviour", "expected"),
    [
        (SAME_PLACE, "documented", {"/static/site.css": "own", "/STATIC/in/Site.css": "inner", "/static/no.css": 404}),
        (SAME_PLACE, "current", {"/static/site.css": "python", "/static/no.css": "python"}),
        (
            OTHER_PLACE,
            "documented",
            {"/static/site.css?v=2": "other", "/Static/IN/site.css": "inner other", "/static/no.css": 404},
        ),
        (OTHER_PLACE, "current", {"/static/site.css": "python"}),
    ],
)
def test_the_rules_for_static_files_of_app_service(tmp_path, static, behaviour, expected):
    files = {"app.py": APP, "web.config": SEED % static, "static/site.css": "own", "static/in/site.css": "inner"}
    files |= {"FlaskWebProject/static/site.css": "other", "FlaskWebProject/static/in/site.css": "inner other"}
    with hosted(lay(tmp_path / "site", files), behaviour=behaviour) as site:
        answers = {path: site.ask(path) for path in expected}
        found = {
            path: answer.headers["X-By"] or (answer.text if answer.status == 200 else answer.status)
            for path, answer in answers.items()
        }
        assert found == expected
        for path in ("/", "/hello/you", "/app.py", "/statics/a"):
            environ = json.loads(site.get(f"{path}?a=b"))
            assert (environ["PATH_INFO"], environ["SCRIPT_NAME"], environ["QUERY_STRING"]) == (path, "", "a=b")
            assert environ["HTTP_X_ORIGINAL_URL"] == f"{path}?a=b"


def test_the_rule_for_static_files_waits_for_a_folder_with_them(tmp_path):
    with hosted(lay(tmp_path / "site", {"app.py": APP, "web.config": SEED % SAME_PLACE})) as site:
        assert site.ask("/static/site.css").headers["X-By"] == "python"
