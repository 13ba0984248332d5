"""An instance of a web role that App Service hosts: started as its container would start the app."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cloudservice.errors import Fault, ServiceError
from cloudservice.instances import Address
from cloudservice.service import Role
from emulator.appservice import script, shims, startup
from emulator.appservice.startup import Asked, Debugging
from emulator.run import Image, Run

LOG = "default_docker.log"


class App(NamedTuple):
    """What an instance runs: the folder of its first site, its endpoints, and the numbers of sockets that it inherits.

    `environ` is its environment, without what the platform adds; `number` counts the instances of its role.
    """

    run: Run
    role: Role
    folder: Path
    addresses: Mapping[str, Address]
    sockets: Sequence[int]
    environ: Mapping[str, str]
    number: int

    @property
    def address(self) -> Address:
        """Where it listens; ServiceError if TLS would have to end there."""
        secured = [name for name, address in self.addresses.items() if address.protocol == "https"]
        if secured:
            wrong = f"App Service ends TLS before the app, and endpoint '{secured[0]}' is https"
            raise ServiceError(Fault(f"role '{self.role.name}'", wrong, "Give it an endpoint with protocol http"))
        return next(iter(self.addresses.values()))

    @property
    def seen(self) -> dict[str, str]:
        """All variables that its process sees."""
        at = self.address
        names = {"WEBSITE_SITE_NAME": self.role.name, "WEBSITE_HOSTNAME": at.address}
        return {"HOST": at.address, "PORT": str(at.port), **names, **self.environ}


def argv(app: App, image: Image) -> tuple[str, ...]:
    """The command line: a shell with the script of the start, which first says what the platform says."""
    at, runtime = app.address, app.run.runtimes[app.role.name]
    debugging = None
    if runtime.debug_port is not None:
        debugging = Debugging(runtime.debug_port + app.number, app.run.waits_for_debugger)
    asked = Asked(
        app.folder,
        None,
        app.seen,
        image.version,
        startup.DEFAULT_SITE,
        at.port,
        at.address,
        image.command,
        debugging,
    )
    start = startup.plan(asked)
    shim = shims.lay(Path(app.environ["TMP"]), image.place, at.address, at.port, app.sockets)
    around = script.Surroundings(image.place, None, shim, False, runtime.python.parent.parent)
    said = "".join(f"echo {shlex.quote(line)}\n" for line in start.messages)
    return ("/bin/sh", "-c", said + script.render(asked, start, around))
