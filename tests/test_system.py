"""How programs of Windows are called on a host."""

import pytest

from cloudservice.errors import ServiceError
from publisher.agent import system


def test_what_cannot_be_started_is_told(tmp_path):
    program = tmp_path / "netsh.exe"
    program.write_text("no program")
    with pytest.raises(ServiceError, match=r"it cannot be started: Permission denied\. See what the host is short of"):
        system.attempt(str(program))
    with pytest.raises(ServiceError, match=r"Windows: nothing\.exe is not there\. Install the feature"):
        system.attempt("nothing.exe")
