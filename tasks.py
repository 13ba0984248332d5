"""The commands of this service: `invoke --list` shows them."""

from rolepack import namespace  # noqa: F401
