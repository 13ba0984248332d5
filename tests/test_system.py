"""How programs of Windows are called on a host."""

import os

import pytest

from cloudservice.errors import ServiceError
from publisher.agent import system


def test_what_cannot_be_started_is_told(tmp_path):
    program = tmp_path / "netsh.exe"
    program.write_text("no program")
    wrong = "Permission denied" if os.name == "posix" else "%1 is not a valid Win32 application"
    with pytest.raises(ServiceError, match=rf"it cannot be started: {wrong}\. See what the host is short of"):
        system.attempt(str(program))
    with pytest.raises(ServiceError, match=r"Windows: nothing\.exe is not there\. Install the feature"):
        system.attempt("nothing.exe")
