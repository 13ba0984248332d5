"""What is published: a service with one configuration, and the content of its roles. Whoever has a bundle makes one."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from cloudservice.service import Service

Read = Callable[[str], Iterator[bytes]]
"""Yields the content with a SHA-256, in pieces."""


class Published(NamedTuple):
    r"""A version, which is the same name for the same bundle.

    `files` has for each role the SHA-256 of each file by its Windows path from the role's root, `\approot\app.py`;
    `sizes` the bytes of each content. `directories` are the folders of a role's sites and of what lies below them, by
    the names down to it, from the role's root: `approot`, `sitesroot\0`.
    """

    version: str
    service: Service
    files: Mapping[str, Mapping[str, str]]
    sizes: Mapping[str, int]
    directories: Mapping[str, Mapping[tuple[str, ...], str]]
    read: Read
    recycles_on_change: bool = True
