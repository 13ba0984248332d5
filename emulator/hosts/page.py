"""What the front end and a process tell each other of lent connections (see loans.py), in memory that both see.

Whoever reads or writes it holds its lock. The process lets go of it only while it waits and while the application runs:
the front end, once it has the lock, knows which, and that no answer and no request is under way between the two.
It imports nothing of ours.
"""

import fcntl
import mmap
import os
import time

_MOMENT = 0.0005
STATE, NUMBER, PLAN, SINCE, SERVED, TURN, RECALLED = range(7)
"""The words. By the process: what it does, the number of the loan or job, what is asked (by the number under which it
was shown), since when (time.monotonic_ns), and how many requests it has begun. By the front end: how often it has taken
all loans back, and the last job that it has taken back.
"""
WAITS, ASKED, SPEAKS, WORKS = range(4)
"""States: nothing is to be done; a lent connection has asked; it is read or written; a job is answered."""


class Page:
    """A page of shared memory and its lock, which the system lets go of when its holder ends."""

    def __init__(self, file: int) -> None:
        self._memory = mmap.mmap(file, mmap.PAGESIZE)
        self.words = memoryview(self._memory).cast("q")
        self._file = file
        self._is_held = False

    def hold(self) -> None:
        """Have the lock, as soon as the other one lets go of it."""
        if not self._is_held:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            self._is_held = True

    def try_to_hold(self) -> bool:
        """Have the lock if it gets free in a moment: the other one, when it has much to do, has it most of the time."""
        end = time.monotonic() + _MOMENT
        while not self._is_held:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._is_held = True
            except OSError:
                if time.monotonic() > end:
                    return False
                time.sleep(0)
        return True

    def let_go(self) -> None:
        """Let the other one have the lock."""
        if self._is_held:
            self._is_held = False
            fcntl.lockf(self._file, fcntl.LOCK_UN)

    def note(self, state: int, number: int = 0, plan: int = 0, since: int = 0) -> None:
        """Say what the process does."""
        words = self.words
        words[STATE], words[NUMBER], words[PLAN], words[SINCE] = state, number, plan, since

    def close(self) -> None:
        """Be done with it."""
        self.words.release()
        self._memory.close()
        os.close(self._file)
