"""Where a service is: the folder that holds its definition. Every command asks, so nothing that reads is imported."""

from pathlib import Path

from cloudservice import spelling
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown

DEFINITION = "ServiceDefinition.csdef"


def find(start: Path) -> Path:
    """The nearest folder from `start` upwards that holds a service definition."""
    for folder in (start.resolve(), *start.resolve().parents):
        if definition_file(folder).is_file():
            return folder
    remedy = "Change into a service's folder, give --service DIR, or make one with `rolepack new-service NAME`"
    wrong = f"there is no {DEFINITION} here or in a folder above"
    raise ServiceError(Fault(shown(start), wrong, remedy, rule="unreadable"))


def definition_file(folder: Path) -> Path:
    """The definition of the service in `folder`, in whatever case its name is written."""
    return spelling.find(folder, DEFINITION)


def bundle_file(folder: Path, service: str) -> Path:
    """Where the bundle of the service in `folder` is made unless somebody names another place."""
    return folder / "dist" / f"{service}.cspkg"
