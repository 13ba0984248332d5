"""What becomes of an upgrade when an update domain does not come up."""

from typing import Literal, cast, get_args

from cloudservice.errors import Fault, ServiceError

OnFailure = Literal["rollback", "stop"]
"""`rollback`: what was upgraded goes back; `stop`: only the domain that has failed, the others stay as they are."""


def parse(word: str) -> OnFailure:
    """The value of `--on-failure`; ServiceError if the word is none."""
    if not is_known(word):
        wrong = f"'{word}' is neither {' nor '.join(get_args(OnFailure))}"
        raise ServiceError(Fault("--on-failure", wrong, "Write one of them"))
    return cast(OnFailure, word)


def is_known(word: object) -> bool:
    """Whether this is one of the words."""
    return word in get_args(OnFailure)
