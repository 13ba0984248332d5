"""A web.config of whatever content leads to an answer or to a fault that says why, and never to another exception.

Every mutation is made from a seed (ROLEPACK_FUZZ_SEED, or 1) and its number alone.
"""

import contextlib
import os
import random
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import until
from hosted import Hosted, config, hosted, lay
from lxml import etree
from test_fuzz import mutated_bytes, mutated_tree

from emulator.hosts import filtering, http1, rewrite, urls, webconfig
from emulator.hosts.elements import MalformedError
from emulator.hosts.http1 import Headers, Refused
from emulator.hosts.places import Place, Places
from emulator.hosts.rewrite import FaultError, Surroundings

SEED = os.environ.get("ROLEPACK_FUZZ_SEED", "1")
SHARE, WHOLE, CHUNK = 500, 10_000, 1_000
SERVED = 60
SECONDS = 5.0
"""What one mutation may take of the processor's time."""
PATIENCE = 20.0
WITH_FILES = '<handlers><remove name="Python_via_FastCGI" /></handlers>'
FAST_CGI = r"""<?xml version="1.0"?>
<configuration>
  <appSettings>
    <add key="WSGI_ALT_VIRTUALENV_HANDLER" value="app.app" />
    <add key="WSGI_ALT_VIRTUALENV_ACTIVATE_THIS" value="D:\home\site\wwwroot\env\Scripts\activate_this.py" />
    <add key="WSGI_HANDLER" value="app.app" />
    <add key="PYTHONPATH" value="D:\home\site\wwwroot" />
  </appSettings>
  <system.web>
    <compilation debug="true" targetFramework="4.0" />
  </system.web>
  <system.webServer>
    <modules runAllManagedModulesForAllRequests="true" />
    <handlers>
      <remove name="Python273_via_FastCGI" />
      <remove name="Python340_via_FastCGI" />
      <add name="Python FastCGI" path="handler.fcgi" verb="*" modules="FastCgiModule"
           scriptProcessor="D:\Python27\python.exe|D:\Python27\Scripts\wfastcgi.py"
           resourceType="Unspecified" requireAccess="Script" />
    </handlers>
    <rewrite>
      <rules>
        <rule name="Static Files" stopProcessing="true">
          <conditions>
            <add input="true" pattern="false" />
          </conditions>
        </rule>
        <rule name="Elsewhere" stopProcessing="true">
          <match url="^/assets/.*" ignoreCase="true" />
          <action type="Rewrite" url="^/static/.*" appendQueryString="true" />
        </rule>
        <rule name="Configure Python" stopProcessing="true">
          <match url="(.*)" ignoreCase="false" />
          <conditions>
          </conditions>
          <action type="Rewrite" url="handler.fcgi/{R:1}" appendQueryString="true" />
        </rule>
      </rules>
    </rewrite>
  </system.webServer>
</configuration>
"""
RULES = r"""<?xml version="1.0" encoding="utf-8"?>
<configuration>
  <appSettings><add key="WSGI_HANDLER" value="app.app" /></appSettings>
  <system.webServer>
    <rewrite>
      <rewriteMaps>
        <rewriteMap name="Moved" defaultValue="" ignoreCase="true">
          <add key="/old" value="/new?from=old" />
          <add key="/x" value="/é" />
        </rewriteMap>
      </rewriteMaps>
      <rules>
        <clear />
        <rule name="Moved" stopProcessing="true">
          <match url=".*" />
          <conditions><add input="{Moved:{REQUEST_URI}}" pattern="(.+)" /></conditions>
          <action type="Redirect" url="{C:1}" appendQueryString="false" redirectType="Permanent" />
        </rule>
        <rule name="Files as they are" stopProcessing="true">
          <match url="^static/(.*)$" />
          <conditions logicalGrouping="MatchAny">
            <add input="{REQUEST_FILENAME}" matchType="IsFile" />
            <add input="{REQUEST_FILENAME}" matchType="IsDirectory" negate="true" />
          </conditions>
          <action type="None" />
        </rule>
        <rule name="No bots" stopProcessing="true" patternSyntax="ExactMatch">
          <match url="robots.txt" negate="false" />
          <action type="CustomResponse" statusCode="403" subStatusCode="1" statusReason="No {HTTP_HOST}"
                  statusDescription="None of {ToLower:{HTTP_USER_AGENT}}" />
        </rule>
        <rule name="Versions" patternSyntax="Wildcard">
          <match url="api/v*/*" />
          <serverVariables><set name="HTTP_X_VERSION" value="{R:1}" replace="true" /></serverVariables>
          <action type="Rewrite" url="api/{R:2}?version={UrlEncode:{R:1}}" />
        </rule>
        <rule name="Secure" enabled="true">
          <match url="^(account|login)(/.*)?$" ignoreCase="false" />
          <conditions logicalGrouping="MatchAll" trackAllCaptures="true">
            <add input="{HTTPS}" pattern="^OFF$" />
            <add input="{QUERY_STRING}" pattern="\bplain=(\d{1,3})\b" negate="true" />
          </conditions>
          <action type="Redirect" url="https://{HTTP_HOST}/{R:1}{R:2}" redirectType="Found" />
        </rule>
        <rule name="Broken off">
          <match url="^gone/" />
          <action type="AbortRequest" />
        </rule>
      </rules>
    </rewrite>
  </system.webServer>
</configuration>
"""
FILTERED = r"""<configuration>
  <appSettings><add key="WSGI_HANDLER" value="app.app" /></appSettings>
  <system.webServer>
    <security>
      <requestFiltering allowDoubleEscaping="false" allowHighBitCharacters="true">
        <requestLimits maxAllowedContentLength="1048576" maxUrl="2048" maxQueryString="512">
          <headerLimits><add header="X-Token" sizeLimit="64" /></headerLimits>
        </requestLimits>
        <fileExtensions allowUnlisted="true">
          <add fileExtension=".bak" allowed="false" />
          <remove fileExtension=".config" />
        </fileExtensions>
        <verbs allowUnlisted="true"><add verb="TRACE" allowed="false" /></verbs>
        <hiddenSegments><add segment="private" /><remove segment="bin" /></hiddenSegments>
        <denyUrlSequences><add sequence="::" /></denyUrlSequences>
        <denyQueryStringSequences><clear /><add sequence="&lt;script" /></denyQueryStringSequences>
      </requestFiltering>
    </security>
    <httpErrors errorMode="Detailed" />
  </system.webServer>
</configuration>
"""
FILES = r"""<?xml version="1.0" encoding="UTF-8"?>
<configuration xmlns="http://schemas.microsoft.com/.NetConfiguration/v2.0">
  <system.webServer>
    <handlers>
      <clear />
      <add name="Scripts" path="*.py,/cgi/*" verb="GET,HEAD,POST" modules="CgiModule" resourceType="File" />
      <add name="Files" path="*" verb="*" modules="StaticFileModule,DefaultDocumentModule" resourceType="Either" />
    </handlers>
    <staticContent>
      <clientCache cacheControlMode="UseMaxAge" cacheControlMaxAge="7.00:00:00" cacheControlCustom="public" />
      <remove fileExtension=".css" />
      <mimeMap fileExtension=".css" mimeType="text/css; charset=utf-8" />
      <mimeMap fileExtension="." mimeType="text/plain" />
    </staticContent>
    <defaultDocument enabled="true">
      <files><clear /><add value="index.html" /><add value="start.htm" /></files>
    </defaultDocument>
    <httpProtocol>
      <customHeaders><remove name="X-Powered-By" /><add name="X-Frame-Options" value="DENY" /></customHeaders>
    </httpProtocol>
  </system.webServer>
</configuration>
"""
PLATFORM = r"""<?xml version="1.0" encoding="UTF-8"?>
<configuration>
  <system.webServer>
    <handlers>
      <add name="platform" path="*" verb="*" modules="httpPlatformHandler" resourceType="Unspecified" />
    </handlers>
    <httpPlatform processPath="python" arguments="server.py --port %HTTP_PLATFORM_PORT%" startupTimeLimit="10"
                  requestTimeout="00:00:30" processesPerApplication="1" rapidFailsPerMinute="0">
      <environmentVariables>
        <environmentVariable name="PYTHONUNBUFFERED" value="1" />
        <environmentVariable name="WHERE" value="%HOME%\site;%PATH%" />
      </environmentVariables>
    </httpPlatform>
  </system.webServer>
</configuration>
"""
PLACES = r"""<?xml version="1.0"?>
<configuration>
  <configSections><section name="x" type="y" /></configSections>
  <appSettings>
    <add key="WSGI_HANDLER" value="app.app" />
    <add key="SCRIPT_NAME" value="" />
  </appSettings>
  <location path="." inheritInChildApplications="false">
    <system.webServer>
      <fastCgi>
        <application fullPath="D:\Python34\python.exe" arguments="D:\Python34\Scripts\wfastcgi.py" maxInstances="2"
                     instanceMaxRequests="1000" queueLength="100" activityTimeout="20" requestTimeout="20"
                     idleTimeout="300">
          <environmentVariables><environmentVariable name="MODE" value="production" /></environmentVariables>
        </application>
      </fastCgi>
    </system.webServer>
  </location>
  <location path="static">
    <system.webServer>
      <handlers><remove name="Python_via_FastCGI" /></handlers>
    </system.webServer>
  </location>
  <location path="x\upload">
    <system.webServer>
      <security><requestFiltering><requestLimits maxAllowedContentLength="4294967295" /></requestFiltering></security>
    </system.webServer>
  </location>
</configuration>
"""
CONFIGS = [FAST_CGI, RULES, RULES, RULES, FILTERED, FILES, PLATFORM, PLACES]
INNER = f"<configuration><system.webServer>{WITH_FILES}</system.webServer></configuration>"
PATTERNS = [
    *(
        "(",
        ")",
        "[",
        "[z-a]",
        "[[a]",
        "*",
        "+",
        "a**",
        "(?",
        "(?<x>y)",
        "(?P<1>)",
        "(?P=x)",
        "(?i",
        "(?z)x",
        "\\",
        "\\1",
    ),
    *("a{99999999999}", "a{5,1}", "(?<=a*)b", "((((((((((.*))))))))))", "(" * 200 + ")" * 200, "(?i)^X$", "(?m)^", "|"),
    *("", "^$", ".*", "^/.*", "(.)?(.)?", "[\\s\\S]*", "\\d+", "*a*", "*.*", "*/*", "static", "\u0130", "a" * 5000),
    *("(?a)(?u)x", "*a*b*c*d*e*f*g*h*"),
]
BRACES = [
    *(
        "{R:1}",
        "{R:0}{R:9}",
        "{R:99999}",
        "{C:1}",
        "{R:{R:1}}",
        "{{R:1}}",
        "{R:1",
        "R:1}",
        "{",
        "}",
        "{}",
        "{:}",
        "{{}",
    ),
    *(
        "{R:\u0661}",
        "{" * 30,
        "{" * 1500,
        "{" * 1500 + "}" * 1500,
        "{R:0}" * 2000,
        "{Moved:{R:0}}",
        "{Moved:",
        "{ToLower:{UrlDecode:%00%ff%0d%0a}}",
        "{X:Y:Z}",
    ),
    *("{UrlEncode:{UrlEncode:{R:0}}}", "{QUERY_STRING}", "/{REQUEST_FILENAME}", "{HTTP_X}", "/{UrlDecode:..%2f..%2f}"),
    *(
        "http://example.com/",
        "//example.com",
        "https://{HTTP_HOST}",
        "javascript:1",
        "?",
        "?a=b",
        "#",
        "%",
        "%zz",
        "/static",
    ),
]
NUMBERS = [
    *(
        "0",
        "-1",
        "00",
        "+1",
        "1.5",
        "1e9",
        "2147483648",
        "999999999999999",
        "9" * 20,
        "9" * 5000,
        "\u0663",
        " 7 ",
        "0x10",
    ),
    *("00:00:00", "1.00:00:00", "99:99:99", "-1:00:00", "24:00", "9999999.23:59:59.9999999", "00:00:00:00", "1", "7"),
    *("9" * 400 + ".00:00:00", "9" * 5000 + ".00:00:00"),
]
WORDS = [
    *(
        "true",
        "TRUE",
        "false",
        "maybe",
        "",
        " ",
        "\t",
        "\n",
        "\r\nX: y",
        "\x85",
        "\u2028",
        "\ufeff",
        "\U0001f600",
        "é" * 99,
        "a" * 5000,
    ),
    *(
        "Redirect",
        "Rewrite",
        "CustomResponse",
        "AbortRequest",
        "None",
        "Wildcard",
        "ExactMatch",
        "ECMAScript",
        "IsFile",
    ),
    *(
        "MatchAny",
        "Pattern",
        "FastCgiModule",
        "StaticFileModule",
        "httpPlatformHandler",
        "iisnode",
        "File",
        "Directory",
    ),
    *(
        "*",
        "**",
        "*a*",
        "/",
        "//",
        ".",
        "..",
        "../../..",
        "\\\\",
        "*.py,*,,/x",
        "static",
        "STATIC/a.css",
        ".css",
        "x;y",
    ),
]
WILD = [PATTERNS, BRACES, NUMBERS, WORDS]
SUITED = {"pattern": PATTERNS, "url": PATTERNS + BRACES, "input": BRACES, "value": BRACES}
"""Values that an attribute takes at its word."""
ELEMENTS = [
    "clear",
    "remove",
    "add",
    "rule",
    "match",
    "action",
    "conditions",
    "location",
    "system.webServer",
    "rewrite",
]
TARGETS = [
    "/",
    "/x?y",
    "/old?a=b&c=%zz",
    "/static/a.css",
    "/STATIC/A.CSS?v",
    "/static",
    "/assets/a.css",
    "/api/v1/things/7.json?" + "q" * 300,
    "/%C3%A9/%FF%FE/" + "a" * 300,
    "/app/x/y/z.py/info",
    "/bin/robots.txt",
]
VARIABLES = {"HTTP_HOST": "localhost", "HTTPS": "off", "HTTP_USER_AGENT": "Mozilla/5.0 (\xe9)"}


def wild(content: bytes, chance: random.Random) -> bytes:
    """A few attributes with values that mean something, elements where they mean something else, and many of them."""
    root = etree.fromstring(content)
    for _ in range(chance.choice([1, 1, 2, 3, 8])):
        element = chance.choice(list(root.iter(etree.Element)))
        kind = chance.random()
        if kind < 0.8 and element.attrib:
            with contextlib.suppress(ValueError):  # what XML cannot say
                name = chance.choice(list(element.attrib))
                element.set(name, chance.choice(chance.choice([*WILD, *[SUITED.get(name, WORDS)] * 4])))
        elif kind < 0.9:
            element.tag = chance.choice(ELEMENTS)
        elif kind < 0.95:
            for _ in range(chance.choice([2, 20, 150])):
                inner = etree.SubElement(element, element.tag, dict(element.attrib))
                element = chance.choice([element, inner])
        else:
            copy = etree.tostring(element, with_tail=False)
            element.extend(etree.fromstring(copy) for _ in range(min(chance.choice([2, 300]), 100_000 // len(copy))))
    return etree.tostring(root, encoding=chance.choice(["utf-8", "utf-8", "utf-16", "windows-1252"]))


def mutated(number: int, configs: list[str]) -> bytes:
    """A web.config with some changes, the same for the same seed and number."""
    chance = random.Random(f"{SEED} {number}")  # noqa: S311 - not for secrets
    content = chance.choice(configs).encode()
    for mutate in chance.choices([mutated_bytes, mutated_tree, wild], [1, 2, 6], k=chance.choice([1, 1, 2])):
        with contextlib.suppress(etree.LxmlError):  # bytes are changed once, trees until then
            content = mutate(content, chance)
    return content


def decide(places: Places, target: str, *, is_documented: bool) -> str:
    """What becomes of a request, as the front end decides it."""
    request = http1.parse(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nX-Token: y".encode())
    url = urls.parse(request.target)
    counts = places.counts(url.path)
    if counts.refused is not None:
        raise counts.refused
    filtering.check(counts.config.filtering, request, url)
    path = url.path
    if counts.config.rules:
        variables = {"REQUEST_URI": url.raw, **VARIABLES}
        around = Surroundings(lambda name: variables.get(name, ""), places.find, is_documented, {})
        outcome = rewrite.rewrite(counts.config, url, around)
        for name, value in outcome.variables:
            assert urls.path_of(value).encode("latin-1").decode("utf-8", "surrogateescape") == value, name
        if outcome.is_aborted:
            return "aborted"
        if outcome.status:
            assert_one_head(outcome.status, outcome.headers, outcome.reason)
            assert outcome.body.encode("utf-8", "backslashreplace") or not outcome.body
            return str(outcome.status)
        path = outcome.url.path
        counts = places.counts(path)
    kinds = [("Content-Type", kind) for _, kind in counts.config.types]
    assert_one_head(200, [*kinds, ("Cache-Control", counts.config.cache), *counts.config.headers])
    chosen = places.handler(counts, request.method, path)
    if chosen is None:
        raise Refused(404, "no handler is for it (404.4)")
    if chosen.handler.kind == "static":
        place = places.find(path)
        assert place is None or place.is_relative_to(places.place_of(path).folder)
    return chosen.handler.kind


def assert_one_head(status: int, headers: Headers, reason: str = "") -> None:
    """An answer of these headers has a head that ends where it should."""
    head = http1.render(status, reason, headers, "")
    assert re.fullmatch(rb"HTTP/1\.1 \d{3} [^\r\n\0]*\r\n(?:[!-9;-~]+: [^\r\n\0]*\r\n)*\r\n", head), head


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Something that may neither take long nor hang."""

    def over(*_: object) -> None:
        raise AssertionError(f"it has not ended after {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    began = time.process_time()
    try:
        yield
        assert time.process_time() - began < SECONDS
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def folder(tmp_path):
    return lay(tmp_path / "site", {"app.py": "x", "static/a.css": "a {}", "app/web.config": "<configuration />"})


def try_it(folder: Path, number: int) -> Iterator[str]:
    """What comes of each of some requests under a mutated web.config."""
    inner = number % 5 == 4
    (folder / "web.config").write_bytes(RULES.encode() if inner else mutated(number, CONFIGS))
    (folder / "static/web.config").write_bytes(mutated(number, CONFIGS) if inner else INNER.encode())
    tree = [Place("", folder, is_application=True), Place("/app", folder / "app", is_application=True)]
    places = Places(tree, ("web.config",), print)
    with contextlib.suppress(MalformedError):
        file = webconfig.load(folder / "web.config", "")
        assert all(name and name == name.strip() for name in webconfig.app_settings(file))
        found = webconfig.fast_cgi(file)
        assert all(limit >= 0 for limit in found.limits.values())
        assert all(name and "=" not in name for name in found.environment)
    for target in TARGETS:
        try:
            yield decide(places, target, is_documented=number % 2 == 0)
        except (Refused, MalformedError, FaultError) as error:
            yield type(error).__name__


def run(folder: Path, numbers: range) -> None:
    print(f"ROLEPACK_FUZZ_SEED={SEED}")
    found: Counter[str] = Counter()
    for number in numbers:
        try:
            with limited():
                found.update(try_it(folder, number))
        except Exception as error:
            raise AssertionError(f"seed {SEED}, case {number}: {mutated(number, CONFIGS)!r}") from error
    for kind in ("python", "static", "platform", "301", "Refused", "MalformedError", "FaultError"):
        assert found[kind], found
    assert found["MalformedError"] < found.total() * 0.6


# A pattern may look to Python like one of another version's, which is no fault of the site's.
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("start", range(0, SHARE, SHARE // 2))
def test_a_share_of_mutated_files_leads_to_decisions_or_faults(folder, start):
    run(folder, range(start, start + SHARE // 2))


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("start", range(SHARE, WHOLE, CHUNK))
def test_all_mutated_files_lead_to_decisions_or_faults(folder, start):
    run(folder, range(start, min(start + CHUNK, WHOLE)))


APP = """
def app(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"whole"]
"""
SERVER = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"whole")

HTTPServer(("127.0.0.1", int(os.environ["HTTP_PLATFORM_PORT"])), Handler).serve_forever()
"""
GOOD = INNER.replace("<system", '<appSettings><add key="WSGI_HANDLER" value="app.app" /></appSettings><system')
GOOD = GOOD.replace(WITH_FILES, "")


def asked(site: Hosted, path: str) -> bytes:
    with socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


PLATFORM_OF = '<handlers><add name="p" path="*" modules="httpPlatformHandler" /></handlers><httpPlatform {} />'


def regex(value: str) -> str:
    return f'<add key="WSGI_RESTART_FILE_REGEX" value="{value}" />'


@pytest.mark.parametrize(
    "server",
    [
        PLATFORM_OF.format('processPath="python" stdoutLogEnabled="true" stdoutLogFile="/"'),
        PLATFORM_OF.format('processPath="python" stdoutLogEnabled="true" stdoutLogFile="app.py/x"'),
        PLATFORM_OF.format(f'processPath="python" arguments="\\{"a" * 300}"'),
        PLATFORM_OF.format('processPath=""'),
    ],
    ids=["log without a name", "log in a file", "long word", "no program"],
)
def test_a_program_that_cannot_be_started_is_said_to_be_so_each_time(tmp_path, server):
    with hosted(lay(tmp_path / "site", {"app.py": APP, "web.config": config(server=server)})) as site:
        for _ in range(2):
            assert site.ask("/").status in {500, 502}
        assert "Traceback" not in site.output


@pytest.mark.parametrize(
    "value", ["(", "a{99999999999}", "(?a)(?u)x", "(" * 500 + ")" * 500], ids=["open", "huge", "flags", "deep"]
)
def test_a_bad_setting_is_told_until_it_is_mended(tmp_path, value):
    with hosted(lay(tmp_path / "site", {"app.py": APP, "web.config": config(settings=regex(value))})) as site:
        for _ in range(2):
            answer = site.ask("/")
            assert (answer.status, "500.19" in answer.text) == (500, True)
        (site.folder / "web.config").write_text(config(settings='<add key="X" value="y" />'))
        until(lambda: site.ask("/").status == 200)
        assert "Traceback" not in site.output


def test_a_log_that_cannot_be_written_is_told_of(tmp_path):
    settings = '<add key="WSGI_LOG" value="/nowhere/x.log" />'
    with hosted(lay(tmp_path / "site", {"app.py": APP, "web.config": config(settings=settings)})) as site:
        answer = site.ask("/")
        assert answer.status == 200 or "/nowhere/x.log" in answer.text
        assert not re.search(r'File ".*emulator.hosts.', site.output)


@pytest.mark.parametrize("value", ["2147484", "999999999999999"])
def test_an_idle_process_may_wait_for_ever(tmp_path, value):
    server = f'<fastCgi><application fullPath="python" idleTimeout="{value}" /></fastCgi>'
    with hosted(lay(tmp_path / "site", {"app.py": APP, "web.config": config(server=server)})) as site:
        for _ in range(3):
            assert site.get("/") == "whole"
            again = time.monotonic() + 0.6
            until(lambda again=again: time.monotonic() > again)
        assert site.process.poll() is None


@pytest.mark.parametrize(
    "server",
    [
        '<staticContent><remove fileExtension=".css" />'
        '<mimeMap fileExtension=".css" mimeType="text/css&#13;&#10;X: y" /></staticContent>',
        '<staticContent><clientCache cacheControlCustom="a&#10;b" /></staticContent>',
        '<httpProtocol><customHeaders><add name="Content-Length" value="1" /></customHeaders></httpProtocol>',
    ],
    ids=["mimeType", "cacheControlCustom", "Content-Length"],
)
def test_the_headers_of_a_file_stay_on_their_lines(tmp_path, server):
    files = {"app.py": APP, "web.config": config(server=server), "static/web.config": INNER, "static/a.css": "a {}"}
    with hosted(lay(tmp_path / "site", files)) as site:
        head = asked(site, "/static/a.css").partition(b"\r\n\r\n")[0] + b"\r\n"
        assert re.fullmatch(rb"HTTP/1\.1 200 OK\r\n(?:[!-9;-~]+: [^\r\n\0]*\r\n)*", head), head
        assert b"\r\nX: y" not in head
        assert head.lower().count(b"\r\ncontent-length:") == 1


def test_one_process_serves_one_mutated_file_after_the_other(tmp_path):
    print(f"ROLEPACK_FUZZ_SEED={SEED}")
    files = {"app.py": APP, "server.py": SERVER, "static/a.css": "a {}", "static/web.config": INNER, "web.config": GOOD}
    found: Counter[int] = Counter()
    with hosted(lay(tmp_path / "site", files)) as site:
        assert site.get("/") == "whole"
        for number in range(SERVED):
            content = mutated(number, CONFIGS)
            (site.folder / "web.config").write_bytes(content)
            again = time.monotonic() + 0.5
            # A path that nobody has asked for is looked up at once, and all else half a second later.
            for path in (f"/x{number}?y", "/", "/static/a.css", "/x?y"):
                if "?y" not in path:
                    until(lambda again=again: time.monotonic() > again)
                answer = asked(site, path)
                match = re.match(rb"HTTP/1\.1 ([1-5]\d\d) [^\r\n]*\r\n", answer)
                where = f"seed {SEED}, case {number}, {path}: {content!r}: {answer!r}"
                assert match or (not answer and b"abortrequest" in content.lower().replace(b"\0", b"")), where
                found[int(match[1]) if match else 0] += 1
                assert not re.search(r'File ".*emulator.hosts.', site.output), f"{where}: {site.output}"
        (site.folder / "web.config").write_text(GOOD)
        until(lambda: site.ask("/").text == "whole")
        assert site.get("/static/a.css") == "a {}"
        assert site.get("/x?y") == "whole"
        assert site.process.poll() is None
    assert found[200] > SERVED / 2
    assert found[500] > SERVED / 5
