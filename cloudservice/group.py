"""A process and what it starts, as one: a process group, or on Windows a job object."""

import contextlib
import os
import signal
import sys

if sys.platform == "win32":
    from cloudservice import job

    class Group:
        """The process, which was just started, and all that it will start."""

        def __init__(self, pid: int) -> None:
            self._pid = pid
            self._job = job.Job()
            with contextlib.suppress(OSError):  # it has ended already
                self._job.add(pid)

        def ask(self) -> None:
            """Ask them to end."""
            if not job.ask(self._pid):
                self._job.end()

        def kill(self) -> None:
            """End them now."""
            self._job.end()

        @property
        def is_there(self) -> bool:
            """Whether one of them has not ended."""
            return self._job.is_busy

else:

    class Group:
        """The process, which leads its group, and what of its descendants has stayed there."""

        def __init__(self, pid: int) -> None:
            self._pid = pid

        def ask(self) -> None:
            """Ask them to end."""
            self._signal(signal.SIGTERM)

        def kill(self) -> None:
            """End them now."""
            self._signal(signal.SIGKILL)

        @property
        def is_there(self) -> bool:
            """Whether one of them has not ended."""
            return self._signal(0)

        def _signal(self, number: int) -> bool:
            """Signal them; whether there was anyone to get it."""
            try:
                os.killpg(self._pid, number)
            except (ProcessLookupError, PermissionError):
                return False
            return True
