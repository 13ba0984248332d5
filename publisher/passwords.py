"""Passwords: from the environment, the system's keyring, or whoever can be asked. They are kept nowhere."""

import os
import re
import threading
from collections.abc import Callable

from cloudservice.errors import Fault, ServiceError
from publisher.hosts import Host

KEYRING = "rolepack"
"""The service that passwords are stored for, by account, or by `certificate NAME`."""
_GENERAL = "ROLEPACK_PASSWORD"

Ask = Callable[[str], str | None]
"""Asks a person for a secret, by what it is for; None if nobody is there."""


class Passwords:
    """Finds each password once."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._known: dict[str, str] = {}
        self._one_at_a_time = threading.Lock()

    def of_host(self, host: Host) -> str | None:
        """The password of an account on a host; None where the transport needs none. ServiceError if there is none."""
        if host.transport == "certificate":
            return None
        if host.transport == "kerberos" and not host.account:
            return None
        variable = f"{_GENERAL}_{_as_variable(host.name)}"
        return self._find((variable, _GENERAL), host.account, f"Password of {host.account}", f"host '{host.name}'")

    def of_certificate(self, name: str) -> str:
        """The password of the .pfx of a certificate; it may be empty."""
        variable = f"ROLEPACK_CERTIFICATE_PASSWORD_{_as_variable(name)}"
        account = f"certificate {name}"
        return self._find((variable,), account, f"Password of the .pfx of {account}", account)

    def _find(self, variables: tuple[str, ...], account: str, prompt: str, where: str) -> str:
        for variable in variables:
            if variable in os.environ:
                return os.environ[variable]
        with self._one_at_a_time:
            if account not in self._known:
                found = _from_keyring(account)
                found = self._ask(prompt) if found is None else found
                if found is None:
                    remedy = f"Set {' or '.join(variables)}, or store it with `keyring set {KEYRING} '{account}'`"
                    raise ServiceError(Fault(where, f"there is no password for {account}", remedy))
                self._known[account] = found
            return self._known[account]


def _from_keyring(account: str) -> str | None:
    import keyring  # which loads much, and looks for what the system has
    import keyring.errors

    try:
        return keyring.get_password(KEYRING, account)
    except keyring.errors.KeyringError:
        return None


def _as_variable(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII).upper()
