"""The CycloneDX document of what a bundle is made of: the packages of each role, with hashes and licences."""

import re
import uuid
import zipfile
from datetime import UTC, datetime
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from cloudservice.service import Service
from packager.locks import Entry
from packager.wheelhouse import Wheelhouse

_NAMESPACE = uuid.UUID("6f1c1f0e-7f0b-5a52-9d5e-2f4b7d1f6c11")
_EPOCH = datetime(1980, 1, 1, tzinfo=UTC)
_LONGEST_LICENCE = 200
"""Characters; some packages put the whole text where its name belongs."""


def render(service: Service, house: Wheelhouse) -> bytes:
    """The document: no dates and nothing random, so that the same packages give the same bytes."""
    root = Component(name=service.name, type=ComponentType.APPLICATION, bom_ref=f"service:{service.name}")
    bom = Bom(metadata=BomMetaData(timestamp=_EPOCH))
    bom.metadata.component = root
    packages: dict[str, Component] = {}
    for role, lock in sorted(house.roles.items()):
        target = f"{lock.target.platform}-{lock.target.abi}"
        part = Component(name=role, type=ComponentType.APPLICATION, bom_ref=f"role:{role}", version=None)
        part.properties.add(Property(name="rolepack:target", value=target))
        bom.components.add(part)
        own = []
        for entry, wheel in zip(lock.entries, house.wheels_of(role), strict=True):
            if wheel.sha256 not in packages:
                packages[wheel.sha256] = _package(entry, wheel.path)
                bom.components.add(packages[wheel.sha256])
            own.append(packages[wheel.sha256])
        bom.register_dependency(part, own)
    bom.register_dependency(root, [one for one in bom.components if one.type is ComponentType.APPLICATION])
    bom.serial_number = uuid.uuid5(_NAMESPACE, f"{service.name} {' '.join(sorted(packages))}")
    return JsonV1Dot6(bom).output_as_string(indent=2).encode()


def _package(entry: Entry, wheel: Path) -> Component:
    name, version = entry.pin.name, entry.pin.version
    with zipfile.ZipFile(wheel) as file:
        # Older tools spell the folder otherwise than the file.
        path = next((one for one in file.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", one)), None)
        metadata = HeaderParser().parsestr(file.read(path).decode("utf-8", "replace") if path else "")
    made = Component(
        name=name,
        version=version,
        bom_ref=f"wheel:{entry.sha256}",
        purl=PackageURL("pypi", name=name, version=version, qualifiers={"file_name": entry.wheel}),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=entry.sha256)],
        licenses=_licences(metadata),
    )
    if entry.using:
        made.properties.add(Property(name="rolepack:built-with", value=entry.using))
    return made


def _licences(metadata: Message) -> list[License]:
    """The licence that a package names; its expression if it has one, then its own words, then its classifiers."""
    factory = LicenseFactory()
    if expression := metadata.get("License-Expression"):
        return [factory.make_from_string(expression)]
    words = (metadata.get("License") or "").strip()
    if words and "\n" not in words and len(words) <= _LONGEST_LICENCE and words.upper() != "UNKNOWN":
        return [factory.make_from_string(words)]
    classifiers = metadata.get_all("Classifier") or []
    names = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License :: ")]
    return [factory.make_with_name(name) for name in sorted(set(names))]
