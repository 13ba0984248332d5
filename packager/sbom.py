"""What a bundle is made of, as a document that other tools read; made once for the same packages."""

import hashlib
from importlib.metadata import version

from cloudservice.files import write_whole
from cloudservice.service import Service
from packager import locks, store
from packager.wheelhouse import Wheelhouse

NAME = "SoftwareBill/sbom.cdx.json"
"""The part of a bundle that has it."""
ENDING = ".cdx.json"


def of(service: Service, house: Wheelhouse) -> bytes:
    """The CycloneDX document of a service with these wheels."""
    words = [service.name, version("cyclonedx-python-lib")]
    words += [locks.shipped(lock, role) for role, lock in sorted(house.roles.items())]
    kept = store.location() / "bills" / hashlib.sha256("\0".join(words).encode()).hexdigest()
    if not kept.is_file():
        from packager import bill  # whose library takes long to import

        write_whole(kept, bill.render(service, house))
    return kept.read_bytes()
