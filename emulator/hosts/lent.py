"""Connections that the front end has lent to a process of an application: what they ask is answered without it.

Only what the front end has shown is answered: a request that is byte for byte one that it has passed on before. With
anything else the connection goes back. What the two tell each other is in loans.py. It imports nothing of ours: wsgi.py
loads it, before the application, and gives it `page` and `heads`.
"""

from __future__ import annotations

import select
import socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any, Protocol

    class Channel(Protocol):
        """Frames to the front end, and the files that came with its own."""

        files: list[int]

        def fileno(self) -> int:
            """Its socket."""

        def send(self, value: Any) -> None:
            """Send a value."""


_PIECE = 16 * 1024
_MOST_NOTED = 64
_NOTED_WITHIN = 0.1
"""Answers that wait to be told of, and the seconds for which the first of them does."""
_MOST_HEADS = 256
_BODILESS = {204, 304}


class Plan:
    """How a request is answered: what the application is told, and what the front end adds to its answer."""

    __slots__ = ("added", "asked", "head", "number", "told")

    def __init__(self, number: int, head: bytes, told: dict[str, str], added: Any, asked: Any) -> None:
        self.number, self.head, self.told, self.added, self.asked = number, head, told, added, asked


class Loan:
    """A connection; the answer to the request on it is sent here as it would be to the front end."""

    __slots__ = ("_is_over", "_lent", "began", "number", "plan", "plans", "socket", "turn", "variables")

    def __init__(
        self, lent: Lent, connected: socket.socket, told: tuple[int, int, dict[str, str]], plans: dict[bytes, Plan]
    ) -> None:
        self.socket = connected
        self.number, self.turn, self.variables = told
        self.plans = plans
        self.plan: Plan
        self.began = 0
        self._lent = lent
        self._is_over = False

    def send(self, value: Any) -> None:
        """Send a whole answer to the client; anything else, and what follows it, is for the front end to see to."""
        if self._is_over or not self._lent.answer(self, value):
            self._is_over = True
            self._lent.channel.send(value)


class Lent:
    """The connections that a process has."""

    def __init__(self, channel: Channel, told: dict[str, Any], page: ModuleType, heads: ModuleType) -> None:
        """`told` has the file of the `page` and how many requests are answered at `most`, or 0."""
        self.channel = channel
        self._states = page
        self._page = page.Page(told["page"])
        self._most = told["most"]
        self._heads = heads
        self._socket = socket.socket  # an application may put another in its place
        self._epoll = select.epoll()
        self._epoll.register(channel.fileno(), select.EPOLLIN)
        self._loans: dict[int, Loan] = {}
        self._plans: dict[Any, dict[bytes, Plan]] = {}
        self._begun: dict[Any, tuple[str, bool]] = {}
        self._noted: list[tuple[Any, ...]] = []
        self._noted_since = 0.0
        self._dated = 0, ""
        self._is_used = False

    @property
    def is_any(self) -> bool:
        """Whether there is a connection, or something to be told of one."""
        return bool(self._loans or self._noted)

    # What the front end tells

    def show(self, told: dict[str, str], shown: tuple[Any, ...]) -> None:
        """Remember how a request is answered; the variables of its connection are no part of that."""
        number, place, head, variables, added, asked = shown
        kept = {name: value for name, value in told.items() if name not in variables}
        self._plans.setdefault(place, {})[head] = Plan(number, head, kept, added, asked)

    def forget(self) -> None:
        """Forget what was shown: it may not be so any more."""
        for plans in self._plans.values():
            plans.clear()

    def add(self, number: int, turn: int, place: Any, variables: dict[str, str]) -> None:
        """Take a connection whose file has come, unless it was taken back meanwhile."""
        self._is_used = True
        file = self.channel.files.pop(0)
        if file < 0:
            self.channel.send(("back", number, b"", b""))
            return
        connected = self._socket(fileno=file)
        connected.setblocking(False)
        plans = self._plans.setdefault(place, {})
        self._loans[file] = Loan(self, connected, (number, turn, variables), plans)
        self._epoll.register(file, select.EPOLLIN)
        self.drop_taken()

    def drop_taken(self) -> None:
        """Close what the front end has taken back, and tell of what was answered."""
        self._page.hold()
        turn = self._page.words[self._states.TURN]
        self._page.let_go()
        for loan in [one for one in self._loans.values() if one.turn != turn]:
            self._drop(loan)
        self.tell()

    def may_begin(self, job: int) -> bool:
        """Begin a job, unless the front end has taken it back."""
        self.tell()  # that may take long
        page, states = self._page, self._states
        if not self._is_used:
            page.words[states.SERVED] += 1
            return True
        page.hold()
        is_ours = bool(job > page.words[states.RECALLED])
        if is_ours:
            page.words[states.SERVED] += 1
            page.note(states.WORKS, job, 0, time.monotonic_ns())
        page.let_go()
        return is_ours

    # What clients ask

    def serve(self, answer: Callable[[dict[str, str], Loan], None]) -> bool:
        """Wait, and have answered what was asked; whether the front end has said something."""
        has_said = False
        for file, _ in self._epoll.poll(_NOTED_WITHIN if self._noted else None):
            loan = self._loans.get(file)
            if loan is None:
                has_said = has_said or file == self.channel.fileno()
            elif self._asks(loan):
                answer({**loan.variables, **loan.plan.told}, loan)
        self._page.let_go()
        if self._noted and (len(self._noted) >= _MOST_NOTED or time.monotonic() > self._noted_since + _NOTED_WITHIN):
            self.tell()
        return has_said

    def close(self) -> None:
        """Be done with all connections: there is no front end any more, or it has them back."""
        for loan in list(self._loans.values()):
            self._drop(loan)
        self.tell()

    def tell(self) -> None:
        """Tell the front end what was answered, for its log."""
        if self._noted:
            noted, self._noted = self._noted, []
            self.channel.send(("answered", noted))

    def _asks(self, loan: Loan) -> bool:
        """Whether a connection asks what can be answered; then the lock is free, as it is while nothing is done."""
        page, states = self._page, self._states
        page.hold()
        if page.words[states.TURN] != loan.turn:
            self._drop(loan)
            return False
        now = time.monotonic_ns()
        page.note(states.SPEAKS, loan.number, 0, now)
        plan = self._heard(loan)
        if plan is None:
            page.note(states.WAITS)
            return False
        loan.plan = plan
        loan.began = now
        page.words[states.SERVED] += 1
        page.note(states.ASKED, loan.number, plan.number, now)
        page.let_go()
        return True

    def _heard(self, loan: Loan) -> Plan | None:
        """How to answer what a connection asks; where nothing tells that it goes back."""
        if self._page.words[self._states.SERVED] >= self._most > 0:
            self._give_back(loan, b"", b"")
            return None
        try:
            piece = loan.socket.recv(_PIECE)
        except BlockingIOError:
            return None
        except OSError:
            piece = b""
        plan = loan.plans.get(piece)
        if plan is None:
            self._give_back(loan, piece, b"")
        return plan

    def answer(self, loan: Loan, value: Any) -> bool:
        """Send an answer to the client and keep the lock; False if the front end is to do so, which knows it then."""
        page, states = self._page, self._states
        page.hold()
        if page.words[states.TURN] != loan.turn:
            self._leave(loan)
            return False
        is_whole = type(value) is tuple and value[-1] is True
        if not is_whole or value[0] in _BODILESS or not value[1]:
            del loan.plans[loan.plan.head]
            self.channel.send(("mine", loan.number, loan.plan.number))
            self._leave(loan)
            return False
        page.words[states.STATE] = states.SPEAKS
        self._speak(loan, *value[:4])
        page.note(states.WAITS)
        return True

    def _leave(self, loan: Loan) -> None:
        self._drop(loan)
        self._page.note(self._states.WORKS)
        self._page.let_go()

    def _speak(self, loan: Loan, status: int, reason: str, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
        plan = loan.plan
        key = status, reason, headers, plan.added
        begun = self._begun.get(key)
        if begun is None:
            begun = self._heads.begun(status, reason, (*self._heads.without_length(headers), *plan.added))
            if len(self._begun) < _MOST_HEADS:
                self._begun[key] = begun
        second = int(time.time())
        if second != self._dated[0]:
            self._dated = second, self._heads.date(second)
        data = self._heads.ended(begun, f"Content-Length: {len(body)}\r\n", self._dated[1]) + body
        try:
            sent = loan.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            sent = len(data)  # the client is gone, as the front end will find
            self._give_back(loan, b"", b"")
        if sent < len(data):
            self._give_back(loan, b"", data[sent:])
        if not self._noted:
            self._noted_since = time.monotonic()
        taken = time.monotonic_ns() - loan.began
        self._noted.append((loan.number, plan.asked, loan.variables["REMOTE_ADDR"], status, len(body), taken))

    def _give_back(self, loan: Loan, said: bytes, unsaid: bytes) -> None:
        """Let the front end have a connection, with what the client has said and what was not yet said to it."""
        self.channel.send(("back", loan.number, said, unsaid))
        self._drop(loan)

    def _drop(self, loan: Loan) -> None:
        file = loan.socket.fileno()
        self._epoll.unregister(file)
        del self._loans[file]
        loan.socket.close()
