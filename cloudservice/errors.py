"""The one error that a user can mend."""

from typing import Literal, NamedTuple

Level = Literal["error", "warning"]


class Fault(NamedTuple):
    """One thing that is wrong: where (a file, or another place), what, and what to do about it.

    `rule` is the name of a rule of cloudservice.rules where one was broken. A warning never stops a command.
    """

    where: str
    wrong: str
    remedy: str
    line: int | None = None
    rule: str = ""
    level: Level = "error"

    def __str__(self) -> str:
        where = self.where if self.line is None else f"{self.where}:{self.line}"
        return f"{where}: {self.wrong}. {self.remedy}."


class ServiceError(Exception):
    """Everything that was found wrong at once; shown to the user without a traceback."""

    exit_code = 1

    def __init__(self, *faults: Fault) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults
