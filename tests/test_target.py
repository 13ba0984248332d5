"""Targets: markers and tags of a machine that is not this one."""

import pytest
from packaging.markers import Marker

from cloudservice.errors import ServiceError
from packager import target
from packager.pins import fits

WINDOWS = target.parse("win_amd64", "3.12")
LINUX = target.parse("manylinux_2_28_x86_64", "3.12")


@pytest.mark.parametrize(
    ("marker", "windows", "linux"),
    [
        ('sys_platform == "win32"', True, False),
        ('os_name == "nt" and platform_system == "Windows"', True, False),
        ('platform_machine == "AMD64"', True, False),
        ('platform_machine == "x86_64"', False, True),
        ('python_full_version >= "3.12.9"', True, True),
        ('python_version < "3.12"', False, False),
        ('implementation_name == "cpython"', True, True),
    ],
)
def test_markers_are_those_of_the_target(marker, windows, linux):
    assert Marker(marker).evaluate(dict(WINDOWS.environment())) is windows
    assert Marker(marker).evaluate(dict(LINUX.environment())) is linux


@pytest.mark.parametrize(
    ("tag", "windows", "linux"),
    [
        ("py3-none-any", True, True),
        ("cp312-cp312-win_amd64", True, False),
        ("cp313-cp313-win_amd64", False, False),
        ("cp38-abi3-win_amd64", True, False),
        ("cp312-cp312-win_arm64", False, False),
        ("py3-none-win_amd64", True, False),
        ("cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64", False, True),
        ("cp312-cp312-manylinux_2_28_x86_64", False, True),
        ("cp312-cp312-manylinux_2_34_x86_64", False, False),
        ("cp312-cp312-linux_x86_64", False, False),
        ("cp312-cp312-musllinux_1_2_x86_64", False, False),
    ],
)
def test_tags_are_those_that_run_there(tag, windows, linux):
    assert fits(f"x-1.0-{tag}.whl", WINDOWS) is windows
    assert fits(f"x-1.0-{tag}.whl", LINUX) is linux


def test_a_minor_version_becomes_the_last_binary_release():
    assert WINDOWS.python == "3.12.10"
    assert target.parse("win_amd64", "3.12.4").python == "3.12.4"
    assert WINDOWS.label == "Windows x64, CPython 3.12"


@pytest.mark.parametrize(("name", "python"), [("win32", "3.12"), ("win_amd64", "2.7"), ("win_amd64", "3.12; x")])
def test_unknown_targets_are_refused(name, python):
    with pytest.raises(ServiceError, match=r"^--(target|python): .*(Choose|Write)"):
        target.parse(name, python)
