"""Wheels that another machine builds of sdists, for targets that no build here serves; nobody vouches for them."""

import re

from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from cloudservice.errors import Fault, ServiceError
from packager import build as here
from packager import store
from packager.build import Built
from packager.pins import Pin, fits
from packager.policy import Builder, Need
from packager.wheelfile import DamagedError

_NAME = re.compile(r"[\w.!+-]+")
"""What a lock can say."""


def build(pin: Pin, need: Need, builder: Builder, where: str) -> Built:
    """Let a builder make the wheel of an sdist, which the store has, and keep that as if it were built here.

    ServiceError at `where` if it is not whole, not of that version, or nothing that the target can run.
    """
    wheel = builder(store.path_of(pin.sha256, pin.filename), need.target)
    try:
        _check(wheel.name, pin, need)
        return here.keep(wheel, pin, need.target, elsewhere=True)
    except DamagedError as error:
        wrong = f"{pin.filename} was built elsewhere, and what came back, {wheel.name}, cannot be taken: {error}"
        remedy = f"Look at how it is built there, or put a wheel in {need.asked.shelf_shown}"
        raise ServiceError(Fault(where, wrong, remedy)) from None


def _check(filename: str, pin: Pin, need: Need) -> None:
    """DamagedError if a file of that name is not what was ordered."""
    try:
        name, version, *_ = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise DamagedError(str(error)) from None
    if name != pin.name or (pin.version and version != Version(pin.version)):
        raise DamagedError(f"it is {name} {version}, and {pin.name} {pin.version} was wanted")
    if not _NAME.fullmatch(filename):
        raise DamagedError("its name has characters that no wheel's name has")
    if not fits(filename, need.target):
        raise DamagedError(f"it does not run on {need.target.label}")
