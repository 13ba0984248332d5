"""What goes into a bundle and what does not: patterns, contents of the definition, suspects."""

import os
import re
import zipfile

import pytest
from bundles import layouts

from cloudservice import folder, location
from cloudservice.errors import ServiceError
from packager import bundle, suspects
from packager.wheelhouse import Wheelhouse


def quiet(*_):
    pass


@pytest.fixture
def place(service):
    return service("pair")


def packaged(place, role="web") -> set[str]:
    planned = bundle.plan(place, folder.load(place, "Local"), Wheelhouse({}))
    return {path.removeprefix("\\approot\\") for path in planned.roles[role] if path.startswith("\\approot\\")}


def remarks(place) -> list[str]:
    return suspects.remarks(bundle.plan(place, folder.load(place, "Local"), Wheelhouse({})))


def test_patterns_leave_out_and_take_back(place):
    web = place / "roles/web"
    for name in ("tests/test_x.py", "node_modules/x.js", "notes.txt", "data/a.csv", "data/keep.csv", "lib/tests/y.py"):
        (web / name).parent.mkdir(parents=True, exist_ok=True)
        (web / name).touch()
    (place / ".rolepackignore").write_text("# for all\nroles/*/tests/\n*.txt\nroles/web/data/*\n")
    (web / ".rolepackignore").write_text("!/data/keep.csv\n!node_modules/\n")
    there = packaged(place)
    assert {"data\\keep.csv", "node_modules\\x.js", "lib\\tests\\y.py"} <= there
    assert there.isdisjoint({"tests\\test_x.py", "notes.txt", "data\\a.csv", ".rolepackignore"})


@pytest.mark.parametrize(
    "name",
    [
        ".git/x",
        ".venv/x",
        "__pycache__/x.pyc",
        ".mypy_cache/x",
        "x.pyc",
        ".DS_Store",
        "node_modules/x",
        "own/pyvenv.cfg",
    ],
)
def test_what_nobody_wants_is_left_out_without_a_word(place, name):
    before = packaged(place)
    path = place / "roles/web" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert packaged(place) == before


def test_a_list_that_is_none_is_told(place):
    (place / ".rolepackignore").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ServiceError, match=r".rolepackignore: it is no list of patterns"):
        packaged(place)


def test_locks_and_own_wheels_do_not_go_in_twice(place):
    web = place / "roles/web"
    (web / "wheels").mkdir()
    for name in (
        "requirements.win_amd64-cp312.lock",
        "wheels/x-1.0-py3-none-any.whl",
        "wheels/notes.md",
        "poetry.lock",
    ):
        (web / name).touch()
    there = packaged(place)
    assert {"wheels\\notes.md", "poetry.lock"} <= there
    assert there.isdisjoint({"requirements.win_amd64-cp312.lock", "wheels\\x-1.0-py3-none-any.whl"})


def test_a_role_in_another_language_goes_in_as_it_is(place):
    jobs = place / "roles/jobs"
    for path in jobs.iterdir():
        path.unlink()
    for name in ("package.json", "server.js", "node_modules/x/index.js", ".git/HEAD"):
        (jobs / name).parent.mkdir(parents=True, exist_ok=True)
        (jobs / name).touch()
    path = place / location.DEFINITION
    text = path.read_text()
    at = text.index("<WorkerRole")
    worker = re.sub(r"<Startup>.*</Startup>", "", text[at:], flags=re.DOTALL)
    path.write_text(text[:at] + re.sub(r'(ProgramEntryPoint commandLine=)"[^"]*"', r'\1"node server.js"', worker))
    there = packaged(place, "jobs")
    assert {"package.json", "server.js", "node_modules\\x\\index.js"} <= there
    assert not any(name.startswith(".git") for name in there)


def with_contents(place, source: str, destination: str) -> None:
    path = place / location.DEFINITION
    content = f'<Content destination="{destination}"><SourceDirectory path="{source}" /></Content>'
    path.write_text(path.read_text().replace("</WebRole>", f"<Contents>{content}</Contents></WebRole>"))


def test_contents_of_the_definition_are_packaged(place, monkeypatch):
    (place / "shared" / "deep").mkdir(parents=True)
    (place / "shared" / "deep" / "a.txt").touch()
    with_contents(place, "shared", ".\\files\\")
    assert "files\\deep\\a.txt" in packaged(place)
    (place / location.DEFINITION).write_text((place / location.DEFINITION).read_text().replace('"shared"', '"%WHERE%"'))
    with pytest.raises(
        ServiceError, match=r"csdef: role 'web' has a Content with the path '%WHERE%', and .* is no folder"
    ):
        packaged(place)
    monkeypatch.setenv("WHERE", "shared")
    assert "files\\deep\\a.txt" in packaged(place)


def test_two_files_for_one_place_are_told(place):
    (place / "shared").mkdir()
    (place / "shared" / "SITE_APP.py").write_text("other")
    with_contents(place, "shared", ".")
    with pytest.raises(
        ServiceError, match=r"it would be .*approot.SITE_APP.py in role 'web', and so would .*site_app.py"
    ):
        packaged(place)


def test_sites_and_what_lies_below_them_have_their_folders(place):
    for name in ("public", "admin"):
        (place / name).mkdir()
        (place / name / "index.html").write_text(name)
    path = place / location.DEFINITION
    text = path.read_text()
    begin, end = text.index("<Site "), text.index("</Site>") + len("</Site>")
    site = text[begin:end].replace(">", ' physicalDirectory="public">', 1)
    below = (
        '<VirtualApplication name="admin" physicalDirectory="admin">'
        '<VirtualDirectory name="again" physicalDirectory="public" /></VirtualApplication>'
    )
    path.write_text(text.replace(text[begin:end], site.replace("<Bindings>", f"{below}<Bindings>")))
    planned = bundle.plan(place, folder.load(place, "Local"), Wheelhouse({}))
    there = planned.roles["web"]
    model = planned.parts[there["\\RoleModel.xml"]].source.decode()
    assert "\\sitesroot\\0\\index.html" in there
    assert "\\sitesroot\\1\\index.html" in there
    assert '<Site name="Web" physicalDirectory="sitesroot\\0">' in model
    assert '<VirtualApplication name="admin" physicalDirectory="sitesroot\\1">' in model
    assert '<VirtualDirectory name="again" physicalDirectory="sitesroot\\0" />' in model
    assert "<Binding name=" in model


KEY = "A" * 86 + "=="


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        (".env", "A=b", "a file of that name holds settings and passwords"),
        (".env.production", "A=b", "a file of that name holds settings and passwords"),
        ("site.pfx", "x", "a file of that name holds keys or passwords"),
        ("id_ed25519", "x", "a file of that name holds keys or passwords"),
        ("key.txt", "\n-----BEGIN RSA PRIVATE KEY-----\n", "key.txt:2: it holds a private key"),
        (
            "a.py",
            f"x\ny = 'DefaultEndpointsProtocol=https;AccountName=a;AccountKey={KEY}'",
            "a.py:2: it holds the key of",
        ),
        ("b.json", f'{{"c": "Endpoint=sb://x/;SharedAccessKey={KEY}"}}', "b.json:1: it holds a shared access key"),
        ("c.config", "Server=tcp:x;Database=y;User ID=z;Password=secret1;", "it holds a connection string with its"),
        ("requirements-old.txt", "-i https://me:t0ken123@host/simple", "it holds an address with its password"),
    ],
)
def test_what_looks_like_a_secret_is_told_and_not_shown(place, name, content, why):
    (place / "roles/web" / name).write_text(content)
    (told,) = remarks(place)
    assert told.startswith("warning: ")
    assert why in told
    assert name in told
    assert not any(secret in told for secret in (KEY, "secret1", "t0ken123"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".env.example", "A="),
        ("public.pem", "-----BEGIN PUBLIC KEY-----"),
        ("a.py", "conn = f'AccountKey={key}'"),
        ("b.py", "Server=x;Password={password};"),
        ("c.md", "https://user:${TOKEN}@host/ and https://host/a:b@c"),
    ],
)
def test_what_is_no_secret_is_not(place, name, content):
    (place / "roles/web" / name).write_text(content)
    assert remarks(place) == []


def test_paths_that_are_too_long_on_windows_are_told(place):
    deep = place / "roles/web" / "/".join(["a" * 50] * 5)
    deep.mkdir(parents=True)
    (deep / "x.py").touch()
    (told,) = remarks(place)
    assert "role 'web' has 1 paths of more than 259 characters on a host, such as E:\\approot\\aaaa" in told


def test_the_definition_is_normalised(place):
    planned = bundle.plan(place, folder.load(place, "Local"), Wheelhouse({}))
    text = planned.parts["ServiceDefinition/ServiceDefinition.csdef"].source
    assert text.startswith(b"\xef\xbb\xbf<?xml")
    for gone in (b"<Startup", b"<Runtime", b"<Sites", b"<!--"):
        assert gone not in text
    assert b'<LocalStorage name="DiagnosticStore" sizeInMB="4096" cleanOnRoleRecycle="false" />' in text


def test_the_order_of_the_file_system_does_not_matter(place, tmp_path):
    for number in range(20):
        (place / "roles/web" / f"f{number}.txt").write_text(str(number))
    first, second = tmp_path / "a.cspkg", tmp_path / "b.cspkg"
    bundle.write(first, bundle.plan(place, folder.load(place, "Local"), Wheelhouse({})), quiet)
    for number in reversed(range(20)):
        path = place / "roles/web" / f"f{number}.txt"
        path.unlink()
        path.write_text(str(number))
        os.utime(path, (number, number))
    bundle.write(second, bundle.plan(place, folder.load(place, "Local"), Wheelhouse({})), quiet)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert len(layouts(archive)["Roles/web"]) > 20
