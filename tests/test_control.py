"""The control channel: for the user alone, and deaf to everything that is no wish."""

import asyncio
import contextlib
import json
import socket
import stat
import threading
from pathlib import Path

import pytest

from emulator import control

STATUS = {"wish": "status"}


@pytest.fixture
def listening(tmp_path):
    """A listener in a thread that answers every wish with itself; gives the state folder."""
    opened, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve():
        async def answer(wish):
            yield {"wished": wish["wish"]}
            yield {"again": wish["wish"]}

        listener = control.Listener(tmp_path, answer)
        await listener.open()
        opened.set()
        await stop.wait()
        listener.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    opened.wait(10)
    yield tmp_path
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


def raw(state: Path, sent: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(json.loads(control.control_file(state).read_text())["path"])
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return connection.recv(1000)


def test_a_wish_is_answered(listening):
    assert list(control.ask(listening, STATUS)) == [{"wished": "status"}, {"again": "status"}]


@pytest.mark.parametrize(
    "sent",
    [b"", b"rubbish\n", b"[]\n", b"{}\n", b'{"wish": "stop"}\n', b'{"wish": "stop", "token": "no"}\n', b"x" * 200_000],
)
def test_anything_else_gets_no_answer_and_does_no_harm(listening, sent):
    with contextlib.suppress(ConnectionError):
        assert raw(listening, sent) == b""
    assert list(control.ask(listening, STATUS)) == [{"wished": "status"}, {"again": "status"}]


def test_only_the_user_can_read_the_token_and_reach_the_socket(listening):
    file = control.control_file(listening)
    folder = Path(json.loads(file.read_text())["path"]).parent
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_nobody_there_is_none(tmp_path):
    assert list(control.ask(tmp_path, STATUS)) == []
    control.control_file(tmp_path).write_text('{"path": "/nowhere/at/all", "token": "x"}')
    assert list(control.ask(tmp_path, STATUS)) == []
    control.control_file(tmp_path).write_text("half a fi")
    assert list(control.ask(tmp_path, STATUS)) == []
