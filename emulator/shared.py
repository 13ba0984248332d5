"""A public port whose listening sockets are the instances' own: the kernel hands each connection to one of them.

Each instance has a socket of the port's SO_REUSEPORT group, which the emulator has made and the instance inherits, so
that nothing stands between client and instance. A classic BPF program (socket(7), SO_ATTACH_REUSEPORT_CBPF) chooses
among the sockets of the instances that are Ready; while none is, it chooses our own. Linux only.
"""

import ctypes
import socket
import struct
import sys
from collections.abc import Sequence

from emulator import ports

IS_POSSIBLE = sys.platform == "linux"
BACKLOG = 1024
_SO_ATTACH_REUSEPORT_CBPF = 51
_LOAD_WORD, _LOAD_HALF, _SHIFT_RIGHT, _MODULO, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x28, 0x74, 0x94, 0x15, 0x06
_NETWORK_HEADER = 0xFFF00000
"""Where a program finds the header of IPv4: SKF_NET_OFF of linux/filter.h."""
_BY_ADDRESS = [(_LOAD_WORD, 0, 0, _NETWORK_HEADER + 12)]
_BY_PORT = [(_LOAD_HALF, 0, 0, _NETWORK_HEADER + 20), (_SHIFT_RIGHT, 0, 0, 1)]
"""Linux gives a client every second port, one after the other, so that its connections take the instances in turn."""


class SharedPort:
    """One public port and the sockets that listen on it: the emulator's, then one for each slot."""

    def __init__(self, address: str, port: int) -> None:
        """Listen; OSError if the port is taken, whoever has it."""
        own = ports.stream()
        try:
            own.bind((address, port))  # before it may be shared: two emulators never get one port
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            own.listen(BACKLOG)
        except OSError:
            own.close()
            raise
        own.setblocking(False)
        self.sockets = [own]
        self.choose((), by_source=False)

    @property
    def port(self) -> int:
        """The port's number."""
        return int(self.sockets[0].getsockname()[1])

    def add(self) -> int:
        """Add a slot and return its number. Slots stay: the kernel knows them by their order."""
        added = ports.stream()
        added.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        added.bind(self.sockets[0].getsockname())
        added.listen(BACKLOG)
        added.setblocking(False)
        self.sockets.append(added)
        return len(self.sockets) - 1

    def choose(self, slots: Sequence[int], by_source: bool) -> None:
        """Let new connections go to these slots alone, by the client's port or address; without any, to us."""
        program = [*(_BY_ADDRESS if by_source else _BY_PORT), (_MODULO, 0, 0, max(1, len(slots)))]
        for number, slot in enumerate(slots[:-1]):
            program += [(_JUMP_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, slot)]
        program.append((_RETURN, 0, 0, slots[-1] if slots else 0))
        code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in program))
        filter_program = struct.pack("@HP", len(program), ctypes.addressof(code))
        self.sockets[0].setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, filter_program)

    def close(self) -> None:
        """Listen no more."""
        for one in self.sockets:
            one.close()
