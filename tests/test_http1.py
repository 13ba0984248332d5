"""What is said of paths, addresses and heads, read without a server."""

import sys
from pathlib import Path

import pytest

from emulator.hosts import http1, urls, windows_paths

SITE_PACKAGES = f"/w/env/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("D:\\home\\site\\wwwroot", "/w"),
        ("d:\\HOME\\Site\\wwwroot\\", "/w"),
        ("D:\\home\\site\\wwwroot\\static\\a.css", "/w/static/a.css"),
        ("D:/home/site/wwwroot/static/", "/w/static"),
        ("C:\\home\\site\\wwwroot\\a", "/w/a"),
        ("\\home\\site\\wwwroot\\a", "/w/a"),
        ("%HOME%\\site\\wwwroot\\a", "/w/a"),
        ("%home%/site/wwwroot", "/w"),
        ("%SystemDrive%\\home\\site\\wwwroot\\a", "/w/a"),
        ("D:\\home\\site\\wwwroot;D:\\home\\site\\wwwroot\\lib", "/w;/w/lib"),
        ('"D:\\home\\site\\wwwroot\\a.py" --log D:\\home\\LogFiles\\a.log', '"/w/a.py" --log /l/a.log'),
        ("%HOME%\\LogFiles", "/l"),
        ("D:\\home\\site\\wwwroot\\env\\Scripts\\python.exe", "/w/env/bin/python"),
        ("D:\\home\\site\\wwwroot\\env\\Scripts\\activate_this.py", "/w/env/bin/activate_this.py"),
        ("env\\scripts\\Python.exe", "env/bin/Python"),
        ("D:\\home\\site\\wwwroot\\env\\Lib\\site-packages", SITE_PACKAGES),
        ("D:\\home\\site\\wwwroot\\env\\Lib\\site-packages\\a", f"{SITE_PACKAGES}/a"),
        *((text, text) for text in ("", "app.app", "D:\\Python34\\python.exe", "%PATH%;a", "https://x/home/site")),
        *(
            (text, text)
            for text in ("D:\\home", "/home/site", "myenv\\Scripts\\a", "environ", "D:\\homes\\site\\wwwroot")
        ),
    ],
)
def test_a_path_of_app_service_is_one_of_here(text, expected):
    assert windows_paths.Places(Path("/w"), Path("/l")).local(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  ", []),
        ("a", ["a"]),
        (" a  b\tc ", ["a", "b", "c"]),
        ('a "b c" d', ["a", "b c", "d"]),
        ('"C:\\Program Files\\x.exe" -y', ["C:\\Program Files\\x.exe", "-y"]),
        ('a ""', ["a", ""]),
        ("--a=b 'c d'", ["--a=b", "'c", "d'"]),
    ],
)
def test_a_command_line_is_words(text, expected):
    assert windows_paths.words(text) == expected


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/a/b?c=d?e", "/a/b", "c=d?e"),
        ("/a?", "/a", ""),
        ("/a%20b%2Fc?d%20e", "/a b/c", "d%20e"),
        ("/%C3%A9", "/é", ""),
        ("/a\\b", "/a/b", ""),
        ("/a/./b/../c", "/a/c", ""),
        ("/a/b/..", "/a/", ""),
        ("/a/.", "/a/", ""),
        ("/a/.b/..c/...", "/a/.b/..c/...", ""),
        ("/a%2f%2e%2e%5Cb", "/b", ""),
        ("//a//b", "//a//b", ""),
        ("/a?b#c", "/a", "b"),
        ("/a#b?c", "/a", ""),
        ("*", "/", ""),
        ("http://host:1/a?b", "/a", "b"),
        ("HTTPS://host", "/", ""),
        ("http://host?/a", "/", "/a"),
        ("/%2525", "/%25", ""),
        ("/a+b", "/a+b", ""),
    ],
)
def test_an_address_is_taken_apart(target, path, query):
    url = urls.parse(target)
    assert (url.path, url.query) == (path, query)


@pytest.mark.parametrize(
    "target",
    [
        *("a", "", "..", "host:443", "ftp://host/a", "file:///a", "://a", "/..", "/a/../..", "/%2e%2e/a", "/..\\a"),
        *("/%", "/%4", "/%gg", "/a%00", "/a%0d", "/a%1F", "/%7f", "http://host/../a"),
    ],
)
def test_an_address_that_is_none_is_refused(target):
    with pytest.raises(http1.Refused) as refused:
        urls.parse(target)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/", "/"), ("/a", "/a"), ("/a/", "/a/"), ("/a/../", "/"), ("/.", "/"), ("/a//../b", "/a/b"), ("/.a", "/.a")],
)
def test_a_path_without_dots_is_canonical(path, expected):
    assert urls.canonical(path) == expected


def test_text_and_bytes_of_a_path_are_each_others():
    for text in ("/a", "/é", "/日本", "/a\udcff"):
        assert urls.text_of(urls.path_of(text)) == text
    assert urls.path_of("/é") == "/Ã©"


HEAD = b"POST /a?b HTTP/1.1\r\nHost: x"


@pytest.mark.parametrize(
    ("head", "length", "keeps"),
    [
        (HEAD, 0, True),
        (HEAD + b"\r\nContent-Length: 12", 12, True),
        (HEAD + b"\r\ncontent-length:12 \t", 12, True),
        (HEAD + b"\r\nContent-Length: 12\r\nContent-Length: 12", 12, True),
        (HEAD + b"\r\nTransfer-Encoding: Chunked", None, True),
        (HEAD + b"\r\nConnection: close", 0, False),
        (HEAD + b"\r\nConnection: Upgrade, Close", 0, False),
        (HEAD + b"\r\nX: " + b"y" * 60_000, 0, True),
        (HEAD + b'\r\nX:\r\nY: \xe9\t"', 0, True),
        (b"POST /a?b HTTP/1.0", 0, False),
        (b"POST /a?b HTTP/1.0\r\nConnection: Keep-Alive", 0, True),
        (b"POST /a?b HTTP/1.1\r\nHost:", 0, True),
    ],
)
def test_a_head_is_read(head, length, keeps):
    request = http1.parse(head)
    assert (request.method, request.target, request.length, request.keeps) == ("POST", "/a?b", length, keeps)


def test_headers_are_variables_of_cgi():
    headers = b"\r\nCookie: a\r\ncookie: b\r\nAccept: c\r\nACCEPT:  d e \r\nContent-Type: f\r\nX-Y_z: g"
    request = http1.parse(HEAD + headers)
    assert request.variables == {
        **{"HTTP_HOST": "x", "HTTP_COOKIE": "a; b", "HTTP_ACCEPT": "c, d e", "CONTENT_TYPE": "f", "HTTP_X_Y_Z": "g"}
    }
    assert (request.get("accept"), request.all("accept"), request.get("none")) == ("c", ["c", "d e"], "")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        *((HEAD + b"\r\nContent-Length: " + one, 400) for one in (b"", b"-1", b"+1", b"1, 1", b"0x1", b"1.0", b"\xb2")),
        *((HEAD + b"\r\nContent-Length: " + one, 400) for one in (b"9" * 16, b"1\r\nContent-Length: 2", b"1 1")),
        (HEAD + b"\r\nTransfer-Encoding: chunked\r\nContent-Length: 1", 400),
        (HEAD + b"\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", 400),
        *((HEAD + b"\r\nTransfer-Encoding: " + one, 501) for one in (b"gzip", b"gzip, chunked", b"chunked, chunked")),
        *(
            (HEAD + b"\r\nTransfer-Encoding: " + one, 501)
            for one in (b"", b"x", b"chunked\r\nTransfer-Encoding: chunked")
        ),
        (b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked", 400),
        *((HEAD + b"\r\n" + one, 400) for one in (b" folded: x", b"A: b\r\n c", b"A : b", b"A\t: b", b": b", b"A")),
        *((HEAD + b"\r\n" + one, 400) for one in (b"A b: c", b"\xc3: b", b"A: b\r\n\tc", b"A(: b", b"\r\nA: b")),
        *((HEAD + b"\r\nA: b" + one, 400) for one in (b"\nC: d", b"\rC: d", b"\0", b"\x0b", b"\x7f")),
        (HEAD + b"\r\nHost: y", 400),
        (b"GET / HTTP/1.1", 400),
        (b"GET / HTTP/1.1\r\nX: y", 400),
        *((b"GET / HTTP/" + one + b"\r\nHost: x", 505) for one in (b"2.0", b"0.9", b"3", b"2")),
        *(
            (one + b"\r\nHost: x", 400)
            for one in (b"GET /", b"GET  / HTTP/1.1", b"GET / HTTP/1.1 ", b" GET / HTTP/1.1")
        ),
        *((one + b"\r\nHost: x", 400) for one in (b"GET /a b HTTP/1.1", b"GET\t/ HTTP/1.1", b"GET / http/1.1", b"")),
        *((one + b"\r\nHost: x", 400) for one in (b"GET /\nA HTTP/1.1", b"\xff", b"/ HTTP/1.1", b"GET / HTTP/1.1\n")),
        (b"GET /" + b"a" * 16384 + b" HTTP/1.1\r\nHost: x", 414),
        (HEAD + b"\r\nA: b" * 256, 431),
    ],
)
def test_a_head_that_is_none_or_can_be_read_in_two_ways_is_refused(head, status):
    with pytest.raises(http1.Refused) as refused:
        http1.parse(head)
    assert refused.value.status == status


CHUNKED = [
    (b"0\r\n\r\n", b""),
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"1\r\na\r\n00002\r\n\r\n\r\n0;last\r\n\r\n", b"a\r\n"),
    (b"A;name=value\r\n0123456789\r\na \r\n0123456789\r\n000\r\nTrailer: x\r\nMore: y\r\n\r\n", b"0123456789" * 2),
]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(("sent", "expected"), CHUNKED)
def test_chunks_are_taken_apart_however_they_come(sent, expected, step):
    chunked, buffer, found = http1.Chunks(), bytearray(), b""
    data = sent + b"GET /next"
    for start in range(0, len(data), step):
        assert chunked.is_done == (start >= len(sent))
        buffer += data[start : start + step]
        found += chunked.feed(buffer)
    assert (found, chunked.is_done, bytes(buffer)) == (expected, True, b"GET /next")


@pytest.mark.parametrize("step", [1, 1000])
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        *((one + b"\r\n", 400) for one in (b"x", b"", b"-1", b"+1", b" 1", b"0x1", b"1 1", b"1\n", b"f" * 16, b"1;\r")),
        *((one + b"\r\n", 400) for one in (b"2\r\nabc", b"5\nhello", b"1\r\na\nb", b"3\r\nabcd")),
        (b"1;" + b"x" * 5000, 400),
        (b"0\r\n" + b"A: b\r\n" * 20_000, 431),
    ],
)
def test_chunks_that_are_none_are_refused(sent, status, step):
    chunked, buffer = http1.Chunks(), bytearray()
    with pytest.raises(http1.Refused) as refused:
        for start in range(0, len(sent), step):
            buffer += sent[start : start + step]
            chunked.feed(buffer)
    assert refused.value.status == status
