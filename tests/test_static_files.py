"""Files of a site as the StaticFile handler serves them: types, default documents, ranges, conditions and caches."""

import hashlib
import os
import random
import re

import pytest
from conftest import until
from hosted import config, hosted, lay

BY_FILES = '<handlers><remove name="Python_via_FastCGI" /></handlers>'
HUNDRED = bytes(range(100))
LARGE = random.Random(5).randbytes(5 * 1024 * 1024)  # noqa: S311 - the same in every process
CHANGED = 1_600_000_000
DATES = {
    "earlier": "Sun, 13 Sep 2020 12:26:39 GMT",
    "same": "Sun, 13 Sep 2020 12:26:40 GMT",
    "later": "Sun, 13 Sep 2020 12:26:41 GMT",
}


def nested(server):
    return f"<configuration><system.webServer>{server}</system.webServer></configuration>"


def documents(files, attributes=""):
    return nested(f"<defaultDocument {attributes}><files>{files}</files></defaultDocument>")


def cached(attributes):
    return nested(f"<staticContent><clientCache {attributes} /></staticContent>")


def headers(inner):
    return nested(f"<httpProtocol><customHeaders>{inner}</customHeaders></httpProtocol>")


ENDINGS = ("txt", "css", "JS", "html", "svg", "png", "woff", "json", "woff2", "py", "xyz")
PAGES = ("Default.htm", "index.htm", "index.html", "home.html", "deFAULT.asp.txt")
WITH_PAGES = ("all", "own", "own/in", "less", "off", "few")
FILES = {
    "web.config": config(server=BY_FILES),
    "hundred.txt": HUNDRED,
    "empty.txt": "",
    "large.zip": LARGE,
    "a b, c.txt": "blanks",
    "no.extension.": "dot",
    "noextension": "none",
    **{f"a.{ending}": "a" for ending in ENDINGS},
    "types/web.config": nested(
        '<staticContent><remove fileExtension=".txt" /><mimeMap fileExtension=".JSON" mimeType="application/json" />'
        '<remove fileExtension=".css" /><mimeMap fileExtension=".css" mimeType="text/x-own" /></staticContent>'
    ),
    **{f"types/{inner}a.{ending}": "a" for ending in ("txt", "css", "json", "js") for inner in ("", "in/")},
    "types/none/web.config": nested(
        '<staticContent><clear /><mimeMap fileExtension=".xyz" mimeType="x/y" /></staticContent>'
    ),
    "types/none/a.js": "a",
    "types/none/a.xyz": "a",
    "docs/a.txt": "a",
    **{f"docs/{folder}/{name}": name for folder in WITH_PAGES for name in PAGES},
    "docs/lower/DEFAULT.HTM": "default",
    "docs/own/web.config": documents('<add value="home.html" /><add value="index.htm" />'),
    "docs/less/web.config": documents('<remove value="default.HTM" /><remove value="index.htm" />'),
    "docs/few/web.config": documents('<clear /><add value="no.html" /><add value="index.html" />'),
    "docs/off/web.config": documents("", 'enabled="false"'),
    "cache/a.txt": "a",
    "cache/age/web.config": cached('cacheControlMode="UseMaxAge" cacheControlMaxAge="1.02:03:04"'),
    "cache/age/a.txt": "a",
    "cache/age/in/a.txt": "a",
    "cache/no/web.config": cached('cacheControlMode="DisableCache"'),
    "cache/no/a.txt": "a",
    "cache/own/web.config": cached(
        'cacheControlMode="UseMaxAge" cacheControlMaxAge="00:01:00" cacheControlCustom="public"'
    ),
    "cache/own/a.txt": "a",
    "heads/web.config": headers('<add name="X-One" value="1" /><add name="X-Two" value="2&#13;&#10;X-Bad: 3" />'),
    "heads/a.txt": "a",
    "heads/less/web.config": headers('<remove name="x-one" /><add name="X-TWO" value="two" />'),
    "heads/less/a.txt": "a",
    "heads/none/web.config": headers("<clear />"),
    "heads/none/a.txt": "a",
    "Mixed/Case/Name.TXT": "mixed",
}
LINKS = {"out.txt": "../../secret.txt", "out": "../../apart", "up": "../..", "in.txt": "../a.txt", "inner": "../docs"}
LINKS |= {"dangling.txt": "none.txt", "loop.txt": "loop.txt"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    above = lay(tmp_path_factory.mktemp("static"), {"secret.txt": "SECRET", "apart/secret.txt": "SECRET"})
    folder = lay(above / "site", FILES)
    os.utime(folder / "hundred.txt", (CHANGED, CHANGED + 0.25))
    (folder / "links").mkdir()
    links = {"absolute.txt": str(above / "secret.txt"), **LINKS}
    for name, target in links.items():
        (folder / "links" / name).symlink_to(target)
    with hosted(folder) as made:
        yield made


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/a.txt", "text/plain"),
        ("/a.css", "text/css"),
        ("/a.js", "application/javascript"),
        ("/a.html", "text/html"),
        ("/a.svg", "image/svg+xml"),
        ("/a.png", "image/png"),
        ("/a.woff", "font/x-woff"),
        ("/types/a.json", "application/json"),
        ("/types/a.css", "text/x-own"),
        ("/types/a.js", "application/javascript"),
        ("/types/in/a.json", "application/json"),
        ("/types/none/a.xyz", "x/y"),
        ("/docs/own/", "text/html"),
    ],
)
def test_a_file_has_the_type_of_its_extension(site, path, kind):
    answer = site.ask(path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, kind)


@pytest.mark.parametrize(
    "path",
    [
        *(f"/a.{ending}" for ending in ("json", "woff2", "py", "xyz")),
        *("/noextension", "/types/a.txt", "/types/in/a.txt", "/types/none/a.js", "/docs/all/deFAULT.asp.txt/x"),
        *("/missing.txt", "/missing/", "/a.txt/", "/a.txt/more", "/a.txt.", "/a.txt%20", "/a.txt::$DATA", "/a.txt:b"),
    ],
)
def test_what_is_no_file_with_a_type_is_not_found(site, path):
    assert site.ask(path).status == 404


def test_an_extension_without_a_type_is_told(site):
    assert "mimeMap" in site.ask("/a.json").text


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/docs/all/", "Default.htm"),
        ("/docs/own/", "home.html"),
        ("/docs/own/in/", "home.html"),
        ("/docs/less/", "index.html"),
        ("/docs/few/", "index.html"),
        ("/docs/lower/", "default"),
        ("/docs/LOWER/", "default"),
    ],
)
def test_a_folder_is_its_default_document(site, path, expected):
    assert site.get(path) == expected


@pytest.mark.parametrize("path", ["/docs/", "/docs/off/", "/"])
def test_a_folder_without_a_default_document_is_not_listed(site, path):
    answer = site.ask(path)
    assert answer.status == 403
    assert "a.txt" not in answer.text


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/docs", "/docs/"),
        ("/docs/all?a=b%20c&d", "/docs/all/?a=b%20c&d"),
        ("/DOCS/%61ll?", "/DOCS/%61ll/?"),
        ("/links/inner", "/links/inner/"),
    ],
)
def test_a_folder_is_asked_for_with_a_slash(site, path, location):
    answer = site.ask(path)
    assert (answer.status, answer.headers["Location"]) == (301, location)


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=0-0", 0, 1),
        ("bytes=99-99", 99, 100),
        ("bytes=90-", 90, 100),
        ("bytes=0-", 0, 100),
        ("bytes=-5", 95, 100),
        ("bytes=-500", 0, 100),
        ("bytes=95-200", 95, 100),
        ("bytes=95-999999999999999999", 95, 100),
        ("bytes= 3-4", 3, 5),
        ("bytes=3-4,100-", 3, 5),
    ],
)
def test_a_range_is_a_part_of_the_file(site, wanted, start, end):
    answer = site.ask("/hundred.txt", Range=wanted)
    assert (answer.status, answer.body) == (206, HUNDRED[start:end])
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/100"
    assert answer.headers["Content-Length"] == str(end - start)
    assert answer.headers["Content-Type"] == "text/plain"


@pytest.mark.parametrize("wanted", ["bytes=0-1,5-6", "bytes=-1, 0-0 ,98-", "bytes=50-59,0-9,400-500,20-20"])
def test_several_ranges_are_parts_of_one_answer(site, wanted):
    answer = site.ask("/hundred.txt", Range=wanted)
    assert answer.status == 206
    assert answer.headers.get_content_type() == "multipart/byteranges"
    boundary = answer.headers["Content-Type"].partition("boundary=")[2].strip('"')
    first, *parts, last = (b"\r\n" + answer.body).split(f"\r\n--{boundary}".encode())
    assert (first.strip(), last) == (b"", b"--\r\n")
    expected = []
    for one in wanted.removeprefix("bytes=").split(","):
        low, _, high = one.strip().partition("-")
        start = int(low) if low else 100 - int(high)
        end = min(100, int(high) + 1) if low and high else 100
        if start < 100:
            told = f"\r\nContent-Type: text/plain\r\nContent-Range: bytes {start}-{end - 1}/100\r\n\r\n"
            expected.append(told.encode() + HUNDRED[start:end])
    assert parts == expected


@pytest.mark.parametrize("wanted", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=200-300,400-"])
def test_a_range_behind_the_end_cannot_be_satisfied(site, wanted):
    answer = site.ask("/hundred.txt", Range=wanted)
    assert (answer.status, answer.headers["Content-Range"], answer.body) == (416, "bytes */100", b"")


@pytest.mark.parametrize(
    "wanted",
    [
        *("bytes=", "bytes=-", "bytes=a-b", "bytes=5-2", "bytes=0-1,x", "items=0-1", "bytes 0-1"),
        *("bytes=0-1;2-3", "bytes=+1-2", "bytes=1-2-3", "bytes=0-99,0-99"),
        ",".join(["bytes=0-0", *(f"{number}-{number}" for number in range(1, 40))]),
    ],
)
def test_a_range_that_is_none_or_too_much_has_the_whole_file_sent(site, wanted):
    answer = site.ask("/hundred.txt", Range=wanted)
    assert (answer.status, answer.body, answer.headers["Content-Range"]) == (200, HUNDRED, None)


@pytest.mark.parametrize(
    ("conditions", "status"),
    [
        ({"If_None_Match": "{tag}"}, 304),
        ({"If_None_Match": "W/{tag}"}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": '"other", W/"more" , {tag}'}, 304),
        ({"If_None_Match": '"other"'}, 200),
        ({"If_Modified_Since": "{same}"}, 304),
        ({"If_Modified_Since": "{later}"}, 304),
        ({"If_Modified_Since": "{earlier}"}, 200),
        ({"If_Modified_Since": "yesterday"}, 200),
        ({"If_Modified_Since": "Sun, 99 Sep 99999 12:26:40 GMT"}, 200),
        ({"If_None_Match": '"other"', "If_Modified_Since": "{later}"}, 200),
        ({"If_None_Match": "{tag}", "If_Modified_Since": "{earlier}"}, 304),
        ({"If_Match": "{tag}"}, 200),
        ({"If_Match": "*"}, 200),
        ({"If_Match": '"other",{tag}'}, 200),
        ({"If_Match": '"other"'}, 412),
        ({"If_Match": '"other"', "If_None_Match": "{tag}"}, 412),
        ({"If_Match": "{tag}", "If_None_Match": "{tag}"}, 304),
        ({"If_Unmodified_Since": "{same}"}, 200),
        ({"If_Unmodified_Since": "{later}"}, 200),
        ({"If_Unmodified_Since": "{earlier}"}, 412),
        ({"If_Unmodified_Since": "tomorrow"}, 200),
        ({"If_Match": "{tag}", "If_Unmodified_Since": "{earlier}"}, 200),
        ({"Range": "bytes=0-1", "If_Range": "{tag}"}, 206),
        ({"Range": "bytes=0-1", "If_Range": "{same}"}, 206),
        ({"Range": "bytes=0-1", "If_Range": "W/{tag}"}, 200),
        ({"Range": "bytes=0-1", "If_Range": '"other"'}, 200),
        ({"Range": "bytes=0-1", "If_Range": "{earlier}"}, 200),
        ({"Range": "bytes=0-1", "If_Range": "{later}"}, 200),
        ({"Range": "bytes=0-1", "If_None_Match": "{tag}"}, 304),
        ({"Range": "bytes=0-1", "If_Match": '"other"'}, 412),
    ],
)
def test_conditions_decide_whether_the_file_is_sent(site, conditions, status):
    plain = site.ask("/hundred.txt")
    assert plain.headers["Last-Modified"] == DATES["same"]
    told = {"tag": plain.headers["ETag"], **DATES}
    for method in ("GET",) if status == 206 or "Range" in conditions else ("GET", "HEAD"):
        answer = site.ask("/hundred.txt", method, **{k: v.format(**told) for k, v in conditions.items()})
        assert answer.status == status
        assert (answer.headers["ETag"], answer.headers["Last-Modified"]) == (told["tag"], DATES["same"])
    if status == 304:
        assert (answer.body, answer.headers["Content-Length"]) == (b"", None)
    elif status == 206:
        assert answer.body == HUNDRED[:2]


def test_a_file_is_always_what_it_is_now(site):
    file = site.folder / "changing.txt"
    file.write_text("one")
    os.utime(file, (CHANGED, CHANGED))
    first = [site.ask("/changing.txt") for _ in range(3)][-1]
    assert first.text == "one"
    file.write_text("two")
    second = site.ask("/changing.txt", If_None_Match=first.headers["ETag"])
    assert (second.text, site.get("/changing.txt")) == ("two", "two")
    lay(site.folder, {"other.txt": "six"})
    (site.folder / "other.txt").replace(file)
    assert site.get("/changing.txt") == "six"
    file.unlink()
    assert site.ask("/changing.txt").status == 404
    file.symlink_to(site.folder.parent / "secret.txt")
    assert site.ask("/changing.txt").status == 404
    file.unlink()
    (site.folder / "Changing.TXT").write_text("seven")
    assert site.get("/changing.txt") == "seven"


def test_a_document_that_comes_before_another_takes_its_place(site):
    lay(site.folder, {"coming/index.html": "index"})
    assert [site.get("/coming/") for _ in range(3)] == ["index"] * 3
    lay(site.folder, {"coming/Default.htm": "default"})
    until(lambda: site.get("/coming/") == "default")


@pytest.mark.parametrize("path", ["/hundred.txt", "/large.zip", "/empty.txt", "/docs/all/", "/docs", "/missing.txt"])
def test_a_head_is_that_of_the_whole_answer(site, path):
    ours, theirs = site.ask(path), site.ask(path, "HEAD", Range="bytes=0-1")
    assert (theirs.status, theirs.body) == (ours.status, b"")
    assert {**theirs.headers, "Date": ""} == {**ours.headers, "Date": ""}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"])
def test_a_file_is_only_read(site, method):
    answer = site.ask("/hundred.txt", method, b"x" * 200_000)
    assert answer.status == 405
    assert {word.strip() for word in answer.headers["Allow"].split(",")} == {"GET", "HEAD", "OPTIONS"}
    assert site.ask("/hundred.txt").body == HUNDRED


def test_options_of_a_file_are_told(site):
    answer = site.ask("/hundred.txt", "OPTIONS")
    assert (answer.status, answer.body) == (200, b"")
    assert {word.strip() for word in answer.headers["Allow"].split(",")} == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/cache/a.txt", None),
        ("/cache/age/a.txt", {"max-age=93784"}),
        ("/cache/age/in/a.txt", {"max-age=93784"}),
        ("/cache/no/a.txt", {"no-cache"}),
        ("/cache/own/a.txt", {"public", "max-age=60"}),
    ],
)
def test_clients_are_told_how_long_to_keep_a_file(site, path, expected):
    found = site.ask(path).headers["Cache-Control"]
    assert (found and set(found.split(","))) == expected


@pytest.mark.parametrize(
    ("path", "one", "two"),
    [
        ("/heads/a.txt", "1", "2  X-Bad: 3"),
        ("/heads/less/a.txt", None, "two"),
        ("/heads/none/a.txt", None, None),
        ("/a.txt", None, None),
    ],
)
def test_files_have_custom_headers(site, path, one, two):
    found = site.ask(path).headers
    assert (found.get_all("X-One"), found.get_all("X-Two")) == (one and [one], two and [two])
    assert "X-Bad" not in found


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/Mixed/Case/Name.TXT", "mixed"),
        ("/mixed/CASE/name.txt", "mixed"),
        ("/a%20b,%20c.txt", "blanks"),
        ("/A%20B%2c%20C.TXT", "blanks"),
        ("//docs///a.txt", "a"),
        ("/docs/./all/../a.txt", "a"),
        ("/docs%2Fa.txt", "a"),
        ("/docs%5ca.txt", "a"),
        ("/docs/a.txt?x=y", "a"),
        ("http://some.host/docs/a.txt", "a"),
        ("/links/in.txt", "a"),
        ("/links/inner/a.txt", "a"),
        ("/empty.txt", ""),
    ],
)
def test_a_file_is_found_however_it_is_written(site, path, expected):
    assert site.get(path) == expected


def test_a_large_file_arrives_whole_and_in_parts(site):
    answer = site.ask("/large.zip")
    assert answer.headers["Content-Length"] == str(len(LARGE))
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(LARGE).digest()
    for start, end in ((0, 4_000_000), (1_000_001, 1_300_000), (len(LARGE) - 200_000, len(LARGE)), (77, 78)):
        assert site.ask("/large.zip", Range=f"bytes={start}-{end - 1}").body == LARGE[start:end]
    parts = site.ask("/large.zip", Range="bytes=0-999999,3000000-3999999").body
    assert LARGE[:1_000_000] in parts
    assert LARGE[3_000_000:4_000_000] in parts


def test_a_client_that_goes_away_in_the_middle_disturbs_nobody(site):
    for _ in range(5):
        with site.connect() as connection:
            connection.sendall(b"GET /large.zip HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert site.ask("/large.zip").body == LARGE
    assert "Traceback" not in site.output


def test_answers_follow_each_other_on_one_connection(site):
    asked = [b"GET /a.txt", b"GET /empty.txt", b"HEAD /large.zip", b"GET /missing.txt", b"OPTIONS /a.txt"]
    sent = b"".join(b"%b HTTP/1.1\r\nHost: x\r\n\r\n" % one for one in asked)
    found = site.say(sent + b"GET /hundred.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert re.findall(rb"HTTP/1\.1 (\d+) ", found) == [b"200", b"200", b"200", b"404", b"200", b"200"]
    assert found.endswith(b"\r\n\r\n" + HUNDRED)


def test_an_empty_file_has_no_ranges(site):
    assert site.ask("/empty.txt", Range="bytes=0-").status == 416
    assert site.ask("/empty.txt", Range="bytes=-1").status == 416


@pytest.mark.parametrize(
    "name", ["out.txt", "out/secret.txt", "absolute.txt", "up/secret.txt", "dangling.txt", "loop.txt", "out/", "out"]
)
def test_a_link_that_leaves_the_site_leads_nowhere(site, name):
    answer = site.ask(f"/links/{name}")
    assert answer.status == 404
    assert "SECRET" not in answer.text


OUTSIDE = [
    *("/../secret.txt", "/docs/../../secret.txt", "/%2e%2e/secret.txt", "/.%2e/secret.txt", "/%2E./secret.txt", "/.."),
    *("/..%2fsecret.txt", "/..%2Fsecret.txt", "/..%5csecret.txt", "/..\\secret.txt", "\\..\\secret.txt", ".."),
    *("/docs/..\\..\\secret.txt", "/docs%2f..%2f..%2fsecret.txt", "/./../secret.txt", "//../../secret.txt"),
    *("/%252e%252e/secret.txt", "/..%252fsecret.txt", "/..%255csecret.txt", "/%%32%65%%32%65/secret.txt"),
    *("/%c0%ae%c0%ae/secret.txt", "/..%c0%afsecret.txt", "/.../secret.txt", "/.. /secret.txt", "/..%20/secret.txt"),
    *("/..;/secret.txt", "/..%00/secret.txt", "/%00../secret.txt", "/..%0a/secret.txt", "/..:/secret.txt"),
    *("http://x/../secret.txt", "http://x/%2e%2e/secret.txt", "file:///secret.txt", "/C:/secret.txt", "/~/secret.txt"),
    *("/docs/....//secret.txt", "/docs/..%u2215secret.txt", "../secret.txt", "/docs/../..", "/links/up/a.txt"),
    *("/\u2024\u2024/secret.txt", "/\uff0e\uff0e/secret.txt", "/..%ef%bc%8fsecret.txt", "/..%ef%bc%bcsecret.txt"),
]


@pytest.mark.parametrize("target", OUTSIDE)
def test_no_spelling_leads_out_of_the_site(site, target):
    found = site.say(b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target.encode())
    assert found.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 "))
    assert b"SECRET" not in found


@pytest.mark.parametrize("escaped", ["%00", "%01", "%0a", "%0D%0A", "%1f", "%7F", "%", "%2", "%zz", "%%"])
def test_control_characters_and_broken_escapes_are_refused(site, escaped):
    assert site.ask(f"/a{escaped}.txt").status == 400


def test_a_pipe_is_no_file_and_holds_nobody_up(site):
    os.mkfifo(site.folder / "pipe.txt")
    assert site.ask("/pipe.txt").status == 404
    assert site.get("/a.txt") == "a"
