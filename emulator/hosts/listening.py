"""Runs gunicorn, where it was to listen at the address of the container, at that of `webapp-run`.

    python -I listening.py FOLDER HOST PORT SOCKETS [ARGUMENTS OF GUNICORN]

In a container each app has the address 0.0.0.0:8000 for itself, and commands name it. Here it gets a socket of ours in
its place, as a systemd unit would (sd_listen_fds(3)), which gunicorn prefers to any address. SOCKETS
are the numbers of inherited ones, parted by commas; with none, it is made here. FOLDER, in which this program is called
gunicorn, is taken off the path, behind it stands the real one.
"""

import os
import shlex
import shutil
import socket
import sys
from collections.abc import Sequence

_CONTAINER_PORT = "8000"
_FIRST = 3
"""The number that an inherited socket has by that protocol."""


def main(folder: str, host: str, port: str, sockets: str, arguments: Sequence[str]) -> None:
    """Go on as gunicorn."""
    places = [place for place in os.environ.get("PATH", "").split(os.pathsep) if place != folder]
    environ = {**os.environ, "PATH": os.pathsep.join(places)}
    program = shutil.which("gunicorn", path=environ["PATH"])
    if program is None:
        sys.exit("gunicorn: not found")
    wanted = bound([*shlex.split(environ.get("GUNICORN_CMD_ARGS", "")), *arguments])
    if all(is_the_container_s(address, port) for address in wanted):
        numbers = [int(number) for number in sockets.split(",") if number] or [listen(host, int(port))]
        hand_over(numbers)
        environ |= {"LISTEN_FDS": str(len(numbers)), "LISTEN_PID": str(os.getpid())}
    os.execve(program, ["gunicorn", *arguments], environ)


def bound(words: Sequence[str]) -> list[str]:
    """The addresses that arguments of gunicorn name."""
    found = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in {"-b", "--bind"}:
            found.append(following)
        elif word.startswith("--bind="):
            found.append(word.removeprefix("--bind="))
        elif word.startswith("-b") and len(word) > len("-b"):
            found.append(word.removeprefix("-b"))
    return found


def is_the_container_s(address: str, port: str) -> bool:
    """Whether an address is the one at which the platform looks for the app: a host alone, or with its port."""
    if address.startswith(("unix:", "fd://")):
        return False
    host, colon, written = address.rpartition(":")
    return not colon or host.endswith(":") or written in {_CONTAINER_PORT, port}


def listen(host: str, port: int) -> int:
    """Make the socket; gunicorn says how many may wait at it."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        sys.exit(f"{host}:{port}: {error.strerror}. Choose another with --port.")
    return made.detach()


def hand_over(numbers: Sequence[int]) -> None:
    """Give open sockets the numbers by which they are found."""
    import fcntl  # which Windows has not, where only what a command means is asked

    highest = max(*numbers, _FIRST + len(numbers))
    copies = [fcntl.fcntl(number, fcntl.F_DUPFD, highest + 1) for number in numbers]  # no number is taken twice
    for place, copy in enumerate(copies, _FIRST):
        os.dup2(copy, place)  # which can be inherited
        os.close(copy)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:])
