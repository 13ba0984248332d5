"""The rules of an instance's life. Nothing here starts a process or looks at a clock."""

from dataclasses import dataclass
from typing import Literal

State = Literal["Starting", "Busy", "Ready", "Stopping", "Stopped", "Recycling"]

FIRST_DELAY = 0.1
LONGEST_DELAY = 30.0
HEALTHY = 60.0
"""Seconds: the second start in a row waits FIRST_DELAY, each further one twice as long; HEALTHY forgets it all."""
STARTS_TO_FAIL = 2
"""A start that must succeed has failed at this many exits before it has settled."""


@dataclass(slots=True)
class Life:
    """What is known of one instance. Times are seconds of any one clock that only goes forward."""

    state: State = "Starting"
    pid: int | None = None
    restarts: int = 0
    exit_code: int | None = None
    reason: str | None = None
    is_settled: bool = False
    exits_before_settled: int = 0
    _exits_in_a_row: int = 0
    _ready_since: float | None = None

    def starting(self) -> None:
        """Its startup tasks begin."""
        self.state = "Starting"

    def started(self, pid: int) -> None:
        """Its program runs, but is not ready yet."""
        self.state, self.pid = "Busy", pid

    def ready(self, now: float) -> None:
        """Its site answers, or its program runs."""
        self.state, self._ready_since = "Ready", now

    def settled(self) -> None:
        """It is Ready and will probably stay so: its site answers, or its program has lived long enough."""
        self.is_settled = True
        self.exits_before_settled = 0

    def ended(self) -> None:
        """Its program has ended; what it has left may still hold the next start."""
        self.pid = None
        if self.state != "Stopping":
            self.state = "Recycling"

    def exited(self, now: float, exit_code: int, reason: str) -> float:
        """Its program or a startup task has ended; returns the seconds to wait before the next start."""
        if not self.is_settled:
            self.exits_before_settled += 1
        if self._ready_since is not None and now - self._ready_since >= HEALTHY:
            self._exits_in_a_row = 0
        self._ended(exit_code, reason)
        self._exits_in_a_row += 1
        if self._exits_in_a_row == 1:
            return 0.0
        return float(min(FIRST_DELAY * 2 ** min(self._exits_in_a_row - 2, 20), LONGEST_DELAY))

    def recycled(self, exit_code: int, reason: str) -> None:
        """It has ended because it is to start again: no failure, and no delay."""
        self._ended(exit_code, reason)

    def forgive(self) -> None:
        """Forget past failures: it is about to start on purpose."""
        self.exits_before_settled = self._exits_in_a_row = 0

    def stopping(self) -> None:
        """It has been told to end."""
        self.state = "Stopping"

    def stopped(self) -> None:
        """It has ended because it was told to."""
        self.state, self.pid = "Stopped", None

    @property
    def failed(self) -> bool:
        """Whether a start that must succeed has failed."""
        return self.exits_before_settled >= STARTS_TO_FAIL

    def _ended(self, exit_code: int, reason: str) -> None:
        self.state, self.pid, self._ready_since, self.is_settled = "Recycling", None, None, False
        self.exit_code, self.reason = exit_code, reason
        self.restarts += 1
