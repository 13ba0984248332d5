"""Content on a host: pieces, hashes, folders that are whole; the programs there run on any system in this."""

import hashlib
import io
import os
import subprocess
import sys
import threading

import pytest

from cloudservice.errors import ServiceError
from publisher import archive
from publisher.agent import alone, frames, keeping, states, store
from publisher.agent.frames import FrameError
from publisher.agent.place import Place
from publisher.agent.values import Deployment, Entry, Held, State
from publisher.escaped import escaped, everywhere

CONTENT = os.urandom(700_000)
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path, "shop")
    made.folder.mkdir()
    return made


@pytest.fixture(params=[True, False], ids=["bytes", "lines"])
def framed(request):
    """Content as it travels where every byte is kept, and where not."""

    def frame(*contents, level=1):
        packed = (
            frames.pack(content[at : at + frames.CHUNK], level, request.param)
            for content in contents
            for at in range(0, len(content), frames.CHUNK)
        )
        return io.BytesIO(b"".join(packed))

    return frame


def faults(act):
    with pytest.raises(ServiceError) as caught:
        act()
    return str(caught.value)


def test_a_part_appears_when_its_last_piece_has_come(place, framed):
    half = len(CONTENT) // 2
    assert store.missing(place, {SHA: len(CONTENT)}) == {SHA: 0}
    store.receive(place, [(SHA, len(CONTENT), 0, half)], framed(CONTENT[:half]))
    assert store.missing(place, {SHA: len(CONTENT)}) == {SHA: half}
    assert not place.part(SHA).exists()
    store.receive(place, [(SHA, len(CONTENT), half, len(CONTENT))], framed(CONTENT[half:]))
    assert store.missing(place, {SHA: len(CONTENT)}) == {}
    assert place.part(SHA).read_bytes() == CONTENT


def test_what_came_twice_is_there_once(place, framed):
    for _ in range(2):
        store.receive(place, [(SHA, len(CONTENT), 0, len(CONTENT))], framed(CONTENT))
    assert place.part(SHA).read_bytes() == CONTENT


def test_an_empty_part_is_a_part(place):
    empty = hashlib.sha256(b"").hexdigest()
    store.receive(place, [(empty, 0, 0, 0)], io.BytesIO())
    assert store.missing(place, {empty: 0}) == {}


def test_damaged_content_is_refused_and_what_follows_is_read_on(place, framed):
    """A line that was left unread would be taken for the next request."""
    other = b"x" * 300_000
    sha = hashlib.sha256(other).hexdigest()
    coming = io.BytesIO(framed(b"y" * len(CONTENT), other).read() + b"next")
    pieces = [(SHA, len(CONTENT), 0, len(CONTENT)), (sha, len(other), 0, len(other))]
    assert "has arrived damaged" in faults(lambda: store.receive(place, pieces, coming))
    assert coming.read() == b"next"
    assert not place.part(SHA).exists()


def test_a_folder_appears_whole_or_not_at_all(place, framed):
    store.receive(place, [(SHA, len(CONTENT), 0, len(CONTENT))], framed(CONTENT))
    files = {r"\RoleModel.xml": SHA, r"\approot\deep\app.py": SHA}
    store.lay(place, "a", "1" * 12, {"web_IN_0": files})
    laid = place.instance("a", "1" * 12, "web_IN_0")
    assert (laid / "approot/deep/app.py").read_bytes() == CONTENT
    assert list(keeping.laid(place, "a")) == ["a/111111111111/web_IN_0"]
    place.part(SHA).write_bytes(b"z" * len(CONTENT))
    told = faults(lambda: store.lay(place, "a", "2" * 12, {"web_IN_0": files}))
    assert "was changed on the host" in told
    assert list(keeping.laid(place, "a")) == ["a/111111111111/web_IN_0"]
    assert not list(place.folder.rglob("*.part"))
    assert store.missing(place, {SHA: len(CONTENT)}) == {SHA: 0}, "what was changed comes again"


@pytest.mark.parametrize("path", [r"\..\x", r"x", r"\a\..\..\b", r"\C:\x", "\\", r"\aux"])
def test_no_path_leaves_its_folder(path, place, framed):
    store.receive(place, [(SHA, len(CONTENT), 0, len(CONTENT))], framed(CONTENT))
    assert "is no path below a role's root" in faults(
        lambda: store.lay(place, "a", "1" * 12, {"web_IN_0": {path: SHA}})
    )


@pytest.mark.parametrize("sha256", ["", "x" * 64, "../" + "a" * 61, "A" * 64])
def test_no_name_of_a_part_leads_elsewhere(sha256, place):
    assert "is no SHA-256" in faults(lambda: store.missing(place, {sha256: 1}))


def test_lines_carry_any_value_and_nothing_else_is_taken_for_one():
    value = {"text": "Grüße\x00\n", "list": [1, None, True]}
    line = frames.encode(value)
    assert frames.decode(line) == value
    assert line.count(b"\n") == 1
    assert line.isascii()
    for wrong in (b"", b"{}", b"hello\n", line[:-9] + b"\n", line[1:], b"\xff" * 40):
        with pytest.raises(FrameError):
            frames.decode(wrong)


def test_a_line_that_would_fill_the_memory_is_none(monkeypatch):
    monkeypatch.setattr(frames, "MOST", 1000)
    for is_clean in (True, False):
        with pytest.raises(FrameError, match="too long"):
            frames.unpack(io.BytesIO(frames.pack(b"0" * 1001, 9, is_clean)))


def test_a_probe_tells_whether_every_byte_arrives():
    sent = frames.probe()
    for mangled, told in (
        (sent, True),
        (sent.replace(b"\r", b"\r\n"), False),
        (bytes(byte & 0x7F for byte in sent), False),
        (sent.replace(b"\x00", b""), False),
    ):
        coming = io.BytesIO(mangled + b"next\n")
        assert frames.is_clean(coming) is told
        assert coming.read() == b"next\n", "what follows is out of step"


def held(token):
    return Held(token, "me", "here", 1, "2026-11-29T10:00:00Z", "publish")


def test_a_lock_has_one_holder(place):
    winners = []

    def hold(number):
        if states.hold(place, held(f"t{number}")) is None:
            winners.append(number)

    threads = [threading.Thread(target=hold, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(winners) == 1
    token = f"t{winners[0]}"
    assert states.hold(place, held(token)) is None, "who has it may ask again"
    assert states.hold(place, held("other")) == held(token)
    assert states.let_go(place, "other") is None
    assert states.let_go(place, token) == held(token)
    assert states.hold(place, held("other")) is None


def entry(version):
    return Entry(version * 12, f"{version}" * 64, "me", "2026", f"token-{version}")


def test_what_is_kept_stays_and_the_rest_goes(place, framed):
    store.receive(place, [(SHA, len(CONTENT), 0, len(CONTENT))], framed(CONTENT))
    for version in "1234":
        keeping.list_parts(place, version * 12, {SHA} if version == "4" else set())
        store.lay(place, "a", version * 12, {"web_IN_0": {r"\x": SHA}})
        path = place.setup("a", version * 64)
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    deployment = Deployment(entry("3"), (entry("2"),), undone=entry("1"))
    states.write_state(place, State(1, {"production": "a", "staging": "b"}, {"a": deployment, "b": Deployment()}))
    keeping.prune(place)
    assert sorted(keeping.versions(place, "a")) == ["1" * 12, "2" * 12, "3" * 12]
    assert sorted(path.stem for path in (place.deployment("a") / "setups").iterdir()) == ["1" * 64, "2" * 64, "3" * 64]
    assert not place.part(SHA).exists(), "only a version that is gone needed it"


def test_a_version_whose_command_came_to_its_end_is_settled(place):
    states.write_state(
        place, State(1, {"production": "a", "staging": "b"}, {"a": Deployment(entry("1")), "b": Deployment()})
    )
    assert keeping.is_settled(place) == {"a": False, "b": True}
    states.note(place, {"id": "token-1", "result": "failed: …"})
    assert not keeping.is_settled(place)["a"]
    states.note(place, {"id": "token-1", "result": "done"})
    with (place.folder / "history.jsonl").open("a") as file:
        file.write('{"id": "tok')  # a loss of power
    assert keeping.is_settled(place)["a"]
    assert len(states.history(place)) == 2


def test_a_conversation_has_one_process(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(archive.__file__.rpartition('/publisher')[0])!r})\n"
        "import pathlib, time\nfrom publisher.agent import alone\n"
        f"with alone.alone(pathlib.Path({str(tmp_path)!r}), 'abc'):\n    print('in', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as first:
        assert first.stdout.readline() == b"in\n"
        with alone.alone(tmp_path, "another"):
            assert first.poll() is None
        with alone.alone(tmp_path, "abc"):
            assert first.wait(10) < 0
    assert list(tmp_path.iterdir()) == []


def test_what_a_terminal_would_obey_is_escaped():
    assert escaped("a\x1b[2J\x07\r\nb\u202e\tc") == r"a\x1b[2J\x07\x0d\x0ab\u202e" + "\tc"
    assert everywhere({"a\x00": ["\x1b", 1, None]}) == {r"a\x00": [r"\x1b", 1, None]}


def test_the_archive_is_the_same_bytes_and_needs_nothing_else(tmp_path):
    made = archive.made()
    archive.made.cache_clear()
    assert archive.made() == made
    path = tmp_path / "agent" / made.name
    path.parent.mkdir()
    path.write_bytes(made.content)
    words = [sys.executable, "-I", path, "session"]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
