"""Mutated files give a service or a message, never another exception; what can be read can be edited.

Every case is made from its number alone, so that one that failed can be run again: `python tests/test_fuzz.py NUMBER`.
"""

import contextlib
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path

import pytest
from lxml import etree

from cloudservice import changes, edit, folder
from cloudservice.errors import ServiceError
from cloudservice.instances import Deployment, instances, role_environment
from cloudservice.plain import from_plain, to_plain
from cloudservice.service import Service

SERVICES = Path(__file__).parent / "services"
EXAMPLES = ["rules-web", "rules-worker", "rules-network", "rules-imports", "rules-legacy", "rules-studio/Cloud", "pair"]
TODAY = date(2026, 11, 21)
WHOLE, SHARE, CHUNK = 20_000, 400, 100
SECONDS = 1.0
FAILED_ONCE = [1020, 1473, 5140]
"""Cases that found a mistake of ours."""
TOKENS = [
    *(
        "<",
        ">",
        "/>",
        "</",
        "&",
        "&amp;",
        "&#0;",
        "&#x10FFFF;",
        "&x;",
        '"',
        "'",
        "=",
        "]]>",
        "<![CDATA[",
        "<!--",
        "-->",
    ),
    *(
        "<?",
        "?>",
        "<!DOCTYPE x>",
        "<!ENTITY",
        "xmlns=''",
        "xmlns:x='y'",
        "x:",
        "\0",
        "\r",
        "\n",
        "\t",
        "\ufeff",
        "\ud7ff",
    ),
    *("\u2028", "\x85", "\U0001f600", "encoding='utf-16'", "<?xml version='1.1'?>", "-1", "0", "99999999999999999999"),
    *("*", "../", "..\\", "%x%", "C:\\", "con", "true", "udp", "any", "https", "/RoleEnvironment/Deployment/@id"),
]


def mutated_bytes(content: bytes, chance: random.Random) -> bytes:
    """A few changes that know nothing of XML."""
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 3, 8])):
        here = chance.randrange(len(changed) + 1)
        there = min(len(changed), here + chance.choice([1, 1, 2, 5, 20, 200]))
        token = chance.choice(TOKENS).encode("utf-8", "surrogatepass")
        changed[here:there] = chance.choice(
            [
                b"",
                bytes([chance.randrange(256)]),
                token,
                bytes(changed[here:there]) * 2,
                bytes(changed[here:there]) + token,
                bytes(chance.randrange(256) for _ in range(4)),
            ]
        )
    if chance.random() < 0.1:
        changed = changed[: chance.randrange(len(changed) + 1)]
    if chance.random() < 0.15:
        with contextlib.suppress(UnicodeError):
            return changed.decode().encode(chance.choice(["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-32"]))
    return bytes(changed)


def mutated_tree(content: bytes, chance: random.Random) -> bytes:
    """A few changes that leave it well-formed: elements and attributes moved, doubled, renamed, given other values."""
    root = etree.fromstring(content)
    for _ in range(chance.choice([1, 1, 2, 3, 8])):
        elements = list(root.iter(etree.Element))
        element, other = chance.choice(elements), chance.choice(elements)
        chance.choice([_drop, _double, _move, _rename, _shuffle, _set, _set, _set, _take, _write])(
            element, other, chance
        )
    encoding = chance.choice(["utf-8", "utf-8", "utf-16", "iso-8859-1", "ascii"])
    return etree.tostring(root, encoding=encoding, xml_declaration=chance.random() < 0.7 or None)


def _drop(element, _other, _chance):
    if element.getparent() is not None:
        element.getparent().remove(element)


def _double(element, _other, _chance):
    if element.getparent() is not None:
        element.addnext(etree.fromstring(etree.tostring(element, with_tail=False)))


def _move(element, other, _chance):
    if element.getparent() is not None and element not in other.iterancestors() and element is not other:
        other.append(element)


def _rename(element, other, chance):
    element.tag = chance.choice([other.tag, other.tag, "{urn:x}" + etree.QName(other).localname, "x"])


def _shuffle(element, _other, chance):
    element[:] = chance.sample(list(element), len(element))


def _set(element, other, chance):
    values = [*other.attrib.values(), "", "\u20ac", "a" * 300, *(token for token in TOKENS if token.isprintable())]
    names = [*element.attrib, *element.attrib, *other.attrib, "x"]
    element.set(chance.choice(names), chance.choice(values))


def _take(element, _other, chance):
    if element.attrib:
        del element.attrib[chance.choice(list(element.attrib))]


def _write(element, _other, chance):
    element.text = chance.choice(["x", "<&>", " \n ", "\u2028"])


@contextlib.contextmanager
def mutated_service(number: int) -> Iterator[Path]:
    """A service with a mutated file or two, the same for the same number."""
    chance = random.Random(number)  # noqa: S311 - not for secrets
    example = chance.choice(EXAMPLES)
    with tempfile.TemporaryDirectory() as scratch:
        top = example.partition("/")[0]
        shutil.copytree(SERVICES / top, Path(scratch) / top, ignore=shutil.ignore_patterns("*.toml"))
        place = Path(scratch) / example
        files = sorted(
            path
            for path in (Path(scratch) / top).rglob("*")
            if path.suffix in {".csdef", ".cscfg", ".ccproj", ".pyproj", ".config"}
        )
        for path in chance.sample(files, chance.choice([1, 1, 2])):
            mutate = chance.choice([mutated_bytes, mutated_tree])
            path.write_bytes(mutate(path.read_bytes(), chance))
        yield place


def try_it(number: int) -> bool:
    """Check, load and edit a mutated service; whether it was right in spite of all."""
    with mutated_service(number) as place:
        began = time.process_time()
        done = folder.check(place, TODAY)
        assert time.process_time() - began < SECONDS
        assert bool(done.services) == (not done.errors)
        assert all(fault.line is None or fault.line > 0 for fault in done.faults)
        for one in done.services:
            assert from_plain(Service, to_plain(one)) == one
            there = instances(one, [role.name for role in one.roles])
            nothing = {instance.name: {} for instance in there}
            for instance in there[:3]:
                role_environment(one, Deployment("d", True, there, nothing, nothing), instance)
        _edit(place, done)
        return bool(done.services)


def _edit(place: Path, done: folder.Examination) -> None:
    """Whatever can be edited is changed where it should be, and nowhere else."""
    names = [role.name for one in done.services for role in one.roles] or ["web", "jobs", "front"]
    for name in dict.fromkeys(names):
        with contextlib.suppress(ServiceError):
            for path, content in changes.plan_values(place, name, 2, {}, None).contents.items():
                assert shape(content) == shape(path.read_bytes(), lambda role: _count(role, "2"), name)
        with contextlib.suppress(ServiceError):
            plan = changes.plan_removal(place, name)
            for path, content in plan.contents.items():
                probes = [words.removeprefix("probe ") for words in plan.said[path][1:]]
                assert shape(content) == shape(path.read_bytes(), _remove, name, probes)


def shape(content: bytes, change: Callable | None = None, role: str = "", probes: Sequence[str] = ()) -> list[tuple]:
    """Everything in a file but blanks, after a change of the role's entry in the tree, and without some probes."""
    root = etree.fromstring(edit.parse(content).text, etree.XMLParser(encoding="utf-8"))
    space = etree.QName(root).namespace
    if change is not None:
        tags = [f"{{{space}}}{name}" for name in ("Role", "WebRole", "WorkerRole")]
        found = [each for each in root.iterchildren(*tags) if each.get("name") == role]
        for each in found if change is _remove else found[:1]:
            change(each)
    for each in [each for each in root.iter(f"{{{space}}}LoadBalancerProbe") if each.get("name") in probes]:
        holder = each.getparent()
        _remove(holder if len(holder) == 1 else each)
    return [
        (str(node.tag), dict(node.attrib), (node.text or "").strip(), (node.tail or "").strip()) for node in root.iter()
    ]


def _count(role, count):
    tag = f"{{{etree.QName(role).namespace}}}Instances"
    found = next(role.iterchildren(tag), None)
    if found is None:
        role.append(found := etree.Element(tag))
    found.set("count", count)


def _remove(role):
    before, tail = role.getprevious(), role.tail or ""
    parent = role.getparent()
    parent.remove(role)
    if before is None:
        parent.text = (parent.text or "") + tail
    else:
        before.tail = (before.tail or "") + tail


def run(numbers: range | list[int], wanted: Callable[[float], bool] = lambda _share: True) -> None:
    right = 0
    for number in numbers:
        try:
            right += try_it(number)
        except Exception as error:
            raise AssertionError(f"case {number}") from error
    assert wanted(right / max(1, len(numbers)))


@pytest.mark.parametrize("start", range(0, SHARE, CHUNK))
def test_a_share(start):
    run(range(start, start + CHUNK), lambda share: 0 < share < 0.9)


@pytest.mark.long
@pytest.mark.parametrize("start", range(SHARE, WHOLE, 10 * CHUNK))
def test_the_whole(start):
    run(range(start, min(start + 10 * CHUNK, WHOLE)), lambda share: 0 < share < 0.9)


def test_what_failed_once():
    run(FAILED_ONCE)


if __name__ == "__main__":
    for word in sys.argv[1:]:
        with mutated_service(int(word)) as found:
            for path in sorted(found.rglob("*.cs*")):
                print(path, path.read_bytes()[:20_000], sep="\n")
            print(try_it(int(word)))
