"""Windows: job objects, which hold processes and all that these start.

The one around this process ends with it, and with it every process that it has started. Source: Microsoft's pages on
job objects (JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE). The only handles are this process's own; the system closes them
however it ends.
"""

import ctypes
import os
import weakref
from ctypes import wintypes
from typing import Any

_BASIC_ACCOUNTING_INFORMATION = 1
_EXTENDED_LIMIT_INFORMATION = 9
_KILL_ON_JOB_CLOSE = 0x2000
_TERMINATE, _SET_QUOTA = 0x0001, 0x0100
_CTRL_BREAK = 1
_around_this: "list[Job]" = []
"""The job of this process, which must never be forgotten: that would end it."""


def _kernel() -> Any:
    return ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined, unused-ignore]


class _BasicLimits(ctypes.Structure):
    _fields_ = (
        ("PerProcessUserTimeLimit", wintypes.LARGE_INTEGER),
        ("PerJobUserTimeLimit", wintypes.LARGE_INTEGER),
        ("LimitFlags", wintypes.DWORD),
        ("MinimumWorkingSetSize", ctypes.c_size_t),
        ("MaximumWorkingSetSize", ctypes.c_size_t),
        ("ActiveProcessLimit", wintypes.DWORD),
        ("Affinity", ctypes.c_size_t),
        ("PriorityClass", wintypes.DWORD),
        ("SchedulingClass", wintypes.DWORD),
    )


class _ExtendedLimits(ctypes.Structure):
    _fields_ = (
        ("BasicLimitInformation", _BasicLimits),
        ("IoInfo", ctypes.c_ulonglong * 6),
        ("ProcessMemoryLimit", ctypes.c_size_t),
        ("JobMemoryLimit", ctypes.c_size_t),
        ("PeakProcessMemoryUsed", ctypes.c_size_t),
        ("PeakJobMemoryUsed", ctypes.c_size_t),
    )


class _Accounting(ctypes.Structure):
    _fields_ = (
        ("Times", wintypes.LARGE_INTEGER * 4),
        ("TotalPageFaultCount", wintypes.DWORD),
        ("TotalProcesses", wintypes.DWORD),
        ("ActiveProcesses", wintypes.DWORD),
        ("TotalTerminatedProcesses", wintypes.DWORD),
    )


class Job:
    """A job object; what is in it ends when nobody refers to it any more. OSError where the system refuses."""

    def __init__(self) -> None:
        self._kernel = _kernel()
        for name in ("CreateJobObjectW", "OpenProcess"):
            getattr(self._kernel, name).restype = wintypes.HANDLE
        self._handle = wintypes.HANDLE(self._kernel.CreateJobObjectW(None, None))
        weakref.finalize(self, self._kernel.CloseHandle, self._handle)
        limits = _ExtendedLimits()
        limits.BasicLimitInformation.LimitFlags = _KILL_ON_JOB_CLOSE
        given = ctypes.byref(limits), ctypes.sizeof(limits)
        self._check(self._kernel.SetInformationJobObject(self._handle, _EXTENDED_LIMIT_INFORMATION, *given))

    def add(self, pid: int) -> None:
        """Take in a process, and with it what it starts from now on."""
        process = wintypes.HANDLE(self._kernel.OpenProcess(_SET_QUOTA | _TERMINATE, False, pid))
        self._check(process.value)
        try:
            self._check(self._kernel.AssignProcessToJobObject(self._handle, process))
        finally:
            self._kernel.CloseHandle(process)

    def end(self) -> None:
        """End all that is in it, with exit code 1."""
        self._check(self._kernel.TerminateJobObject(self._handle, 1))

    @property
    def is_busy(self) -> bool:
        """Whether a process is in it."""
        told = _Accounting()
        given = ctypes.byref(told), ctypes.sizeof(told), None
        self._check(self._kernel.QueryInformationJobObject(self._handle, _BASIC_ACCOUNTING_INFORMATION, *given))
        return bool(told.ActiveProcesses)

    @staticmethod
    def _check(done: object) -> None:
        if not done:
            raise ctypes.WinError(ctypes.get_last_error())  # type: ignore[attr-defined, unused-ignore]


def ask(pid: int) -> bool:
    """Send Ctrl-Break to the process group that a process leads; false where there is no console to send it by.

    os.kill would do the same, but where that fails it ends the process, and its error appears anywhere later.
    """
    return bool(_kernel().GenerateConsoleCtrlEvent(_CTRL_BREAK, pid))


def enclose() -> None:
    """Put this process, and all that it will start, into a job that ends with it; OSError if that is impossible."""
    _around_this.append(Job())
    _around_this[0].add(os.getpid())
