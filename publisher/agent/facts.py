"""What a host says about itself."""

import os
import platform
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from publisher.agent import iis


def told(root: Path) -> dict[str, Any]:
    """Name, versions, free bytes where rolepack's folder is or will be, clock (seconds since 1970, UTC), rights."""
    there = next(folder for folder in (root, *root.parents) if folder.is_dir())
    return {
        "name": platform.node(),
        "windows": _windows(),
        "powershell": _powershell(),
        "python": platform.python_version(),
        "free": shutil.disk_usage(there).free,
        "clock": time.time(),
        "is_administrator": _is_administrator(),
        "has_iis": iis.is_there(),
    }


def _windows() -> str:
    """The product and its build, such as Windows Server 2022 Datacenter (20348)."""
    product = _registry(r"SOFTWARE\Microsoft\Windows NT\CurrentVersion", "ProductName")
    return f"{product or platform.system()} ({platform.version().rpartition('.')[2]})"


def _powershell() -> str | None:
    return _registry(r"SOFTWARE\Microsoft\PowerShell\3\PowerShellEngine", "PowerShellVersion")


def _registry(key: str, name: str) -> str | None:
    """A value of the machine's registry; None if there is none."""
    if sys.platform != "win32":
        return None
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as opened:
            return str(winreg.QueryValueEx(opened, name)[0])
    except OSError:
        return None


def _is_administrator() -> bool:
    if sys.platform != "win32":
        return os.geteuid() == 0
    import ctypes

    return bool(ctypes.windll.shell32.IsUserAnAdmin())
