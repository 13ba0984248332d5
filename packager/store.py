"""The user's own store of package files: content-addressed, shared by all services, safe for several at once."""

import hashlib
import shutil
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import platformdirs
import requests

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import whole
from packager import index
from packager.progress import Report
from packager.resolve import Pin

_PARALLEL = 8
"""Connections at once: more gave no gain over a fast line."""
_CHUNK = 1 << 17
_TIMEOUT = (10, 60)
"""Seconds to connect, and between two reads."""


def location() -> Path:
    """The folder of the store, in the user's cache."""
    return platformdirs.user_cache_path("rolepack") / "store"


def path_of(sha256: str, filename: str) -> Path:
    """Where a file of that hash lies, if it is there."""
    return location() / sha256[:2] / sha256 / Path(filename).name


def hash_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(pins: Sequence[Pin], environ: Mapping[str, str], report: Report) -> dict[Pin, Path]:
    """The files of `pins` in the store; what is missing or damaged is fetched, several at once.

    Raises ServiceError with every file that cannot be had. A file whose hash is wrong never gets its name.
    """
    wanted = list(dict.fromkeys(pins))
    paths = {pin: path_of(pin.sha256, pin.filename) for pin in wanted}
    missing = [pin for pin, path in paths.items() if not (path.is_file() and hash_of(path) == pin.sha256)]
    faults: list[Fault] = []
    local = threading.local()

    def get(pin: Pin) -> None:
        if not hasattr(local, "source"):
            local.source = _Source(environ)
        try:
            _fetch(local.source, pin, paths[pin])
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
    return paths


def keep(source: Path) -> Path:
    """Put a file that was built here into the store and return its place."""
    place = path_of(hash_of(source), source.name)
    with source.open("rb") as file, whole(place) as kept:
        shutil.copyfileobj(file, kept)
    return place


class _Source:
    """Fetches addresses with keep-alive, as pip's configuration says."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._session = requests.Session()
        self._certificates = environ.get("SSL_CERT_FILE") or True
        self._credentials = index.credentials(environ)
        self._insecure = set(environ.get("UV_INSECURE_HOST", "").split())
        if "ALL_PROXY" in environ:
            self._session.proxies = {"all": environ["ALL_PROXY"]}

    def get(self, url: str) -> requests.Response:
        """The answer, its body not yet read."""
        parts = urlsplit(url)
        return self._session.get(
            url,
            stream=True,
            timeout=_TIMEOUT,
            auth=self._credentials.get(parts.hostname or ""),
            verify=False if {parts.hostname, parts.netloc} & self._insecure else self._certificates,
        )


def _fetch(source: _Source, pin: Pin, path: Path) -> None:
    """Stream one file to its place, checking its hash on the way."""
    digest = hashlib.sha256()
    with whole(path) as file:
        if pin.url.startswith(("http://", "https://")):
            with source.get(pin.url) as answer:
                answer.raise_for_status()
                for chunk in answer.iter_content(_CHUNK):
                    digest.update(chunk)
                    file.write(chunk)
        else:
            with _local_path(pin.url).open("rb") as local:
                _copy(local, file, digest)
        if digest.hexdigest() != pin.sha256:
            wrong = f"{pin.filename} has the SHA-256 {digest.hexdigest()}, but the index promised {pin.sha256}"
            raise ServiceError(Fault(f"{pin.name} {pin.version}", wrong, "Do not use it; tell the index's owner"))


def _copy(source: BinaryIO, file: BinaryIO, digest: "hashlib._Hash") -> None:
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        file.write(chunk)


def _local_path(url: str) -> Path:
    """The path of a file: url, or the path itself."""
    return Path(url2pathname(urlsplit(url).path)) if url.startswith("file:") else Path(unquote(url))


def _reason(error: Exception) -> str:
    """Why a request failed, without the address: it may hold credentials."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the index answers {error.response.status_code}"
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return "the index cannot be reached"
    return type(error).__name__ if isinstance(error, requests.RequestException) else str(error.args[-1])
