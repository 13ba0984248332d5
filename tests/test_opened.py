"""Bundles as files: verified to the last bit, looked into, laid down, compared, signed."""

import json
import random
import zipfile
from pathlib import Path

import pytest
from bundles import extract, layouts
from conftest import make_wheel
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from cloudservice.errors import ServiceError
from packager import inventory, manifest, opened
from packager.archive import Writer
from packager.manifest import Listed, Manifest


def quiet(*_):
    pass


@pytest.fixture
def bundle(service, index, tmp_path, rolepack):
    """A bundle of two roles that share a wheel."""
    place = service("pair")
    for name in ("wfastcgi", "shared"):
        index.add(make_wheel(tmp_path / "made", name, "1.0"))
    for role in ("web", "jobs"):
        (place / "roles" / role / "requirements.txt").write_text("shared\n")
    rolepack.ok("package", cwd=place)
    return place / "dist" / "pair.cspkg"


def test_a_whole_bundle_is_whole(bundle, rolepack):
    told = rolepack.ok("verify", "dist/pair.cspkg", cwd=bundle.parent.parent)
    assert told.startswith("dist/pair.cspkg is whole: ")
    assert told.endswith("2 roles; it is not signed.\n")
    with zipfile.ZipFile(bundle) as archive:
        assert archive.testzip() is None


def test_every_single_flipped_bit_is_found(bundle, tmp_path):
    content = bundle.read_bytes()
    damaged = tmp_path / "damaged.cspkg"
    # Every byte of the structure, and bits all over the contents.
    places = {*range(2000), *range(len(content) - 4000, len(content)), *range(0, len(content), 37)}
    generator = random.Random(5)  # noqa: S311
    for place in sorted(places):
        flipped = bytearray(content)
        flipped[place] ^= 1 << generator.randrange(8)
        damaged.write_bytes(flipped)
        with pytest.raises(ServiceError):
            opened.verify(damaged, quiet)


def test_what_is_damaged_is_named(bundle, tmp_path):
    content = bundle.read_bytes()
    with zipfile.ZipFile(bundle) as archive:
        wheel = layouts(archive)["Roles/web"]["\\approot\\wheelhouse\\shared-1.0-py3-none-any.whl"]
        info = archive.getinfo(wheel)
    damaged = tmp_path / "damaged.cspkg"
    for place, named in (
        (info.header_offset + 60 + 100, r"shared-1.0-py3-none-any.whl.*jobs.approot|jobs.approot.*shared-1.0"),
        (info.header_offset + 14, rf"{wheel} at byte|content of {wheel}"),
        (len(content) - 5, "the end of the file is damaged"),
    ):
        flipped = bytearray(content)
        flipped[place] ^= 1
        damaged.write_bytes(flipped)
        with pytest.raises(ServiceError, match=named):
            opened.verify(damaged, quiet)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content + b"x",
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda _content: b"",
        lambda content: b"x" + content,
        lambda _content: b"PK\3\4" + bytes(1000),
    ],
)
def test_what_was_added_or_cut_off_is_found(bundle, tmp_path, change):
    damaged = tmp_path / "damaged.cspkg"
    damaged.write_bytes(change(bundle.read_bytes()))
    with pytest.raises(ServiceError, match="Do not use it"):
        opened.verify(damaged, quiet)


def test_what_no_manifest_lists_is_found(bundle, tmp_path):
    with zipfile.ZipFile(bundle) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    other = tmp_path / "other.cspkg"
    with other.open("wb") as file, Writer(file) as archive:
        for name, content in {**entries, "LocalContent/extra": b"extra"}.items():
            archive.add(name, content)
    with pytest.raises(ServiceError, match=r"LocalContent/extra is in it, and not where package.xml has it"):
        opened.verify(other, quiet)
    with other.open("wb") as file, Writer(file) as archive:
        for name, content in list(entries.items())[:-1]:
            archive.add(name, content)
    with pytest.raises(ServiceError, match=r"is not in it, and package.xml names it"):
        opened.verify(other, quiet)


HOSTILE = [
    "\\..\\x",
    "\\approot\\..\\..\\x",
    "x",
    "\\approot\\C:x",
    "\\approot/../../x",
    "\\",
    "\\approot\\aux",
    "\\approot\\x:stream",
    "\\\\server\\x",
]


@pytest.mark.parametrize("path", HOSTILE)
def test_paths_that_lead_elsewhere_are_refused(tmp_path, path):
    part = Listed(1, "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881")
    found = Manifest({"LocalContent/a": part}, {"web": {path: "LocalContent/a"}})
    evil = tmp_path / "evil.cspkg"
    with evil.open("wb") as file, Writer(file) as archive:
        archive.add(manifest.TYPES, manifest.content_types(["LocalContent/a"]))
        archive.add(manifest.RELATIONSHIPS, manifest.relationships())
        archive.add(manifest.NAME, manifest.render(found))
        archive.add("LocalContent/a", b"x")
    with pytest.raises(ServiceError, match="leads out of its folder or is no path"):
        opened.verify(evil, quiet)
    with pytest.raises(ServiceError, match="leads out"), opened.opened(evil):
        pass


def test_a_part_that_is_larger_than_it_says_is_not_unpacked_to_its_end(tmp_path):
    part = Listed(10, "0" * 64)
    found = Manifest({"LocalContent/a": part}, {"web": {"\\approot\\a": "LocalContent/a"}})
    bomb = tmp_path / "bomb.cspkg"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(manifest.NAME, manifest.render(found))
        archive.writestr("LocalContent/a", bytes(300 * 1024 * 1024))
    with opened.opened(bomb) as read, pytest.raises(ServiceError, match=r"web\\approot\\a is damaged"):
        opened.extract(read, "web", tmp_path / "out", quiet)
    assert not (tmp_path / "out").exists()


def test_a_role_is_laid_down_as_on_a_host(bundle, rolepack, tmp_path):
    extract(bundle, "web", tmp_path / "expected")
    told = rolepack.ok("extract", bundle, "--role", "web", "--output", tmp_path / "made", cwd=tmp_path)
    assert "Extracted web of " in told
    expected = {path.relative_to(tmp_path / "expected"): path.read_bytes() for path in files(tmp_path / "expected")}
    made = tmp_path / "made" / "web"
    assert {path.relative_to(made): path.read_bytes() for path in files(made)} == expected
    assert "it is there already. Remove it" in rolepack.refused(
        "extract", bundle, "--output", tmp_path / "made", cwd=tmp_path
    )
    assert "there is no role 'x'. Choose from web and jobs" in rolepack.refused(
        "extract", bundle, "--role", "x", cwd=tmp_path
    )


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_what_is_in_it_and_shared_is_shown(bundle, rolepack):
    told = rolepack.ok("inspect", bundle, cwd=bundle.parent)
    assert "  web (web, for win_amd64, Python 3.12.10):" in told
    assert "  jobs (worker, for win_amd64, Python 3.12.10):" in told
    assert told.count("shared==1.0") == 2
    assert "Shared by several roles, and in it once: 2 parts" in told  # the wheel, and an empty file
    found = json.loads(rolepack.ok("inspect", bundle, "--json", cwd=bundle.parent))
    assert [role["name"] for role in found["roles"]] == ["web", "jobs"]
    assert {"requirement": "wfastcgi==1.0", "shared": False}.items() <= found["roles"][0]["wheels"][1].items()


def test_what_changed_is_told(bundle, rolepack, index, tmp_path):
    place = bundle.parent.parent
    old = tmp_path / "old.cspkg"
    old.write_bytes(bundle.read_bytes())
    assert f"The same as {old}.\n" in rolepack.ok("inspect", bundle, "--against", old, cwd=place)
    index.add(make_wheel(tmp_path / "made", "shared", "2.0"))
    index.add(make_wheel(tmp_path / "made", "fresh", "2.0"))
    rolepack.ok("lock", "--upgrade", "shared", cwd=place)
    (place / "roles/jobs/requirements.txt").write_text("fresh\n")
    (place / "roles/web/lib/extra.py").write_text("WORD = 'new'\n")
    (place / "roles/web/lib/more.py").touch()
    rolepack.ok("package", cwd=place)
    told = rolepack.ok("inspect", bundle, "--against", old, cwd=place).partition("Against")[2]
    assert "  web: shared==1.0 -> 2.0\n" in told
    assert "  web: \\approot\\lib\\extra.py has changed\n  web: \\approot\\lib\\more.py is new\n" in told
    assert "  jobs: fresh==2.0 is new\n  jobs: shared==1.0 is gone\n" in told
    changes = json.loads(rolepack.ok("inspect", bundle, "--against", old, "--json", cwd=place))["changes"]
    assert "shared==1.0 -> 2.0" in changes["web"]


@pytest.mark.parametrize("content", [b"", b"nothing", b"PK\3\4"])
def test_what_is_no_bundle_is_told(tmp_path, rolepack, content):
    (tmp_path / "x.cspkg").write_bytes(content)
    for command in ("inspect", "verify", "extract"):
        assert rolepack.refused(command, "x.cspkg", cwd=tmp_path).startswith("x.cspkg: ")
        assert "no such file" in rolepack.refused(command, "y.cspkg", cwd=tmp_path)


KEYS = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
}


def write_key(folder: Path, key, password: bytes | None = None) -> None:
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
    (folder / "private.pem").write_bytes(key.private_bytes(*form))
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "public.pem").write_bytes(key.public_key().public_bytes(*form))


@pytest.mark.parametrize("kind", KEYS)
def test_a_signature_is_proven_by_its_own_key_alone(bundle, rolepack, tmp_path, kind):
    place = bundle.parent.parent
    write_key(tmp_path, KEYS[kind]())
    rolepack.ok("package", "--sign", tmp_path / "private.pem", cwd=place)
    first = bundle.read_bytes()
    assert "was signed with the key of " in rolepack.ok("verify", bundle, "--key", tmp_path / "public.pem", cwd=place)
    assert "give --key to prove it" in rolepack.ok("verify", bundle, cwd=place)
    (place / ".rolepack" / "package.json").unlink(missing_ok=True)
    rolepack.ok("package", "--sign", tmp_path / "private.pem", cwd=place)
    assert bundle.read_bytes() == first
    write_key(tmp_path, KEYS[kind]())
    assert "public.pem is not the key that signed it" in rolepack.refused(
        "verify", bundle, "--key", tmp_path / "public.pem", cwd=place
    )


def test_a_key_with_a_password(bundle, rolepack, tmp_path):
    place = bundle.parent.parent
    write_key(tmp_path, KEYS["ed25519"](), b"open sesame")
    told = rolepack.refused("package", "--sign", tmp_path / "private.pem", cwd=place)
    assert "its password is missing" in told
    rolepack.ok("package", "--sign", tmp_path / "private.pem", cwd=place, **{"ROLEPACK_KEY_PASSWORD": "open sesame"})
    rolepack.ok("verify", bundle, "--key", tmp_path / "public.pem", cwd=place)


def test_a_bundle_without_signature_does_not_pass_for_signed(bundle, rolepack, tmp_path):
    write_key(tmp_path, KEYS["ed25519"]())
    told = rolepack.refused("verify", bundle, "--key", tmp_path / "public.pem", cwd=tmp_path)
    assert "it is not signed. Do not use it before you know where it comes from" in told
    told = rolepack.refused("verify", bundle, "--key", tmp_path / "private.pem", cwd=tmp_path)
    assert "it is no public key in PEM" in told


def test_the_bill_of_materials_is_inside_and_beside(bundle):
    beside = bundle.with_name("pair.cdx.json").read_bytes()
    with zipfile.ZipFile(bundle) as archive:
        assert archive.read("SoftwareBill/sbom.cdx.json") == beside
    told = json.loads(beside)
    assert (told["bomFormat"], told["metadata"]["component"]["name"]) == ("CycloneDX", "pair")
    by_ref = {one["bom-ref"]: one for one in told["components"]}
    needs = {one["ref"]: one.get("dependsOn", []) for one in told["dependencies"]}
    assert [by_ref[ref]["name"] for ref in needs["role:jobs"]] == ["shared"]
    assert sorted(by_ref[ref]["name"] for ref in needs["role:web"]) == ["shared", "wfastcgi"]
    (shared,) = (one for one in told["components"] if one["name"] == "shared")
    assert shared["purl"].startswith("pkg:pypi/shared@1.0")
    with opened.opened(bundle) as found:
        listed = {part.sha256 for part in found.manifest.parts.values()}
    assert shared["hashes"][0]["content"] in listed


def test_roles_of_another_tool_are_read_too(tmp_path):
    """Without our extra fields, and with other times, as other writers of the format make them."""
    part = Listed(1, "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881")
    csdef = (
        b'<ServiceDefinition name="s" xmlns="http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition" />'
    )
    import hashlib

    listed = Listed(len(csdef), hashlib.sha256(csdef).hexdigest())
    name = "ServiceDefinition/ServiceDefinition.csdef"
    found = Manifest({name: listed, "LocalContent/a": part}, {"web": {"\\approot\\a": "LocalContent/a"}})
    path = tmp_path / "x.cspkg"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in ((manifest.NAME, manifest.render(found)), (name, csdef), ("LocalContent/a", b"x")):
            archive.writestr(entry, content)
    assert [role.name for role in inventory.load(path).roles] == ["web"]
    with pytest.raises(ServiceError, match=r"it does not begin as a bundle of rolepack's|is damaged"):
        opened.verify(path, quiet)
