"""Package files from indexes and folders into the store: several at once, each checked against its hash."""

import hashlib
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import whole
from cloudservice.tells import Report
from packager import store
from packager.index import Access
from packager.pins import Pin

_PARALLEL = 8
"""Connections at once: more gave no gain over a fast line."""
_CHUNK = 1 << 17
_TIMEOUT = (10, 60)
"""Seconds to connect, and between two reads."""


def fetch(wanted: Mapping[Pin, Access], report: Report) -> None:
    """Put files into the store, each with the access that its role has: what is missing there, or damaged.

    Raises ServiceError with every file that cannot be had. A file whose hash is wrong never gets its name.
    """
    missing = [pin for pin in wanted if not store.has(pin.sha256, pin.filename)]
    faults = [_offline(pin) for pin in missing if wanted[pin].offline and _is_remote(pin)]
    if faults:
        raise ServiceError(*faults)
    local = threading.local()

    def get(pin: Pin) -> None:
        sources = local.__dict__.setdefault("sources", {})
        access = wanted[pin]
        source = sources.get(id(access)) or sources.setdefault(id(access), _Source(access))
        try:
            _fetch(source, pin, store.path_of(pin.sha256, pin.filename))
        except (requests.RequestException, OSError) as error:
            where = f"{pin.name} {pin.version}"
            wrong = f"{pin.filename} cannot be fetched: {_reason(error)}"
            faults.append(Fault(where, wrong, "Check the network and pip's index settings, then try again"))
        except ServiceError as error:
            faults.extend(error.faults)

    with ThreadPoolExecutor(_PARALLEL) as pool:
        for done, _ in enumerate(pool.map(get, missing), 1):
            report("Fetching packages", done, len(missing))
    if faults:
        raise ServiceError(*faults)


class _Source:
    """Fetches addresses with keep-alive, as pip's configuration says."""

    def __init__(self, access: Access) -> None:
        self._session = requests.Session()
        self._access = access
        if access.proxy:
            self._session.proxies = {"all": access.proxy}

    def get(self, url: str) -> requests.Response:
        """The answer, its body not yet read."""
        parts = urlsplit(url)
        return self._session.get(
            url,
            stream=True,
            timeout=_TIMEOUT,
            auth=self._access.credentials.get(parts.hostname or ""),
            verify=False
            if {parts.hostname, parts.netloc} & self._access.insecure
            else self._access.certificates or True,
        )


def _fetch(source: _Source, pin: Pin, path: Path) -> None:
    """Stream one file to its place, checking its hash on the way."""
    digest = hashlib.sha256()
    with whole(path) as file:
        if _is_remote(pin):
            with source.get(pin.url) as answer:
                answer.raise_for_status()
                for chunk in answer.iter_content(_CHUNK):
                    digest.update(chunk)
                    file.write(chunk)
        else:
            with _local_path(pin.url).open("rb") as local:
                _copy(local, file, digest)
        if digest.hexdigest() != pin.sha256:
            wrong = f"{pin.filename} has the SHA-256 {digest.hexdigest()}, but {pin.sha256} was promised"
            raise ServiceError(Fault(f"{pin.name} {pin.version}", wrong, "Do not use it; tell whoever offers it"))


def _is_remote(pin: Pin) -> bool:
    return pin.url.startswith(("http://", "https://"))


def _offline(pin: Pin) -> Fault:
    wrong = f"the store lacks {pin.filename}, and --offline forbids to fetch it"
    return Fault(f"{pin.name} {pin.version}", wrong, "Run once without --offline")


def _copy(source: BinaryIO, file: BinaryIO, digest: "hashlib._Hash") -> None:
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        file.write(chunk)


def _local_path(url: str) -> Path:
    """The path of a file: url, or the path itself."""
    return Path(url2pathname(urlsplit(url).path)) if url.startswith("file:") else Path(url)


def _reason(error: Exception) -> str:
    """Why a request failed, without the address: it may hold credentials."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the index answers {error.response.status_code}"
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return "the index cannot be reached"
    return type(error).__name__ if isinstance(error, requests.RequestException) else str(error.args[-1])
