"""The one error that a user can mend."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where (`file` or `file:line`), what, and what to do about it."""

    where: str
    wrong: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.wrong}. {self.remedy}."


class ServiceError(Exception):
    """Everything that was found wrong at once; shown to the user without a traceback."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults
