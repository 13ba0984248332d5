"""How a build ends that fails: with the platform's exit code, and in its words."""

from cloudservice.errors import Fault, ServiceError

USAGE, NO_PLATFORM, UNSUPPORTED = 1, 2, 3
"""Exit codes: a setting or option that cannot be; no platform is found; there is no such version."""
UNEXPECTED = "Oops... An unexpected error has occurred."


class BuildError(ServiceError):
    """What has ended a build: the line of the platform, if it has one, what we add to it, and the exit code."""

    def __init__(self, exit_code: int, line: str, *faults: Fault) -> None:
        super().__init__(*faults)
        self.exit_code = exit_code
        self.args = ("\n".join([*filter(None, [line]), *map(str, faults)]),)
