"""What reading and checking a service costs: beside lxml alone, for a large service, and on the command line.

.venv/bin/python benchmarks/model.py
"""

import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from interleaved import compare
from lxml import etree

from cloudservice import configuration, definition, folder, location
from cloudservice.schema import FOLDER

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
LOADS = 200
ROLES, SETTINGS = 25, 10


def large(place: Path) -> Path:
    """A service of 25 worker roles with 250 settings."""
    roles, configured = [], []
    for number in range(ROLES):
        names = [f"Setting{each}" for each in range(SETTINGS)]
        program = '<ProgramEntryPoint commandLine="python worker.py" setReadyOnProcessStart="true" />'
        declared = "".join(f'<Setting name="{name}" />' for name in names)
        given = "".join(f'<Setting name="{name}" value="value of {name}" />' for name in names)
        roles.append(
            f'<WorkerRole name="role{number}"><ConfigurationSettings>{declared}</ConfigurationSettings>'
            f"<Runtime><EntryPoint>{program}</EntryPoint></Runtime></WorkerRole>\n"
        )
        configured.append(
            f'<Role name="role{number}"><Instances count="2" />'
            f"<ConfigurationSettings>{given}</ConfigurationSettings></Role>\n"
        )
        (place / "roles" / f"role{number}").mkdir(parents=True)
        (place / "roles" / f"role{number}" / "worker.py").touch()
    head = f'<ServiceDefinition name="large" xmlns="{definition.NAMESPACE}">\n'
    (place / location.DEFINITION).write_text(f"{head}{''.join(roles)}</ServiceDefinition>")
    head = f'<ServiceConfiguration serviceName="large" osFamily="7" xmlns="{configuration.NAMESPACE}">\n'
    (place / "ServiceConfiguration.Local.cscfg").write_text(f"{head}{''.join(configured)}</ServiceConfiguration>")
    return place


def bare(place: Path) -> None:
    """What lxml alone does with the files of a service: parse, and validate with a compiled schema."""
    for schema, name in SCHEMAS:
        if not schema.validate(etree.parse(place / name)):
            raise AssertionError(schema.error_log)


def read(place: Path) -> None:
    """Into values, without the rules that join files and look at the disk."""
    definition.load(place / location.DEFINITION)
    configuration.load(place / "ServiceConfiguration.Local.cscfg")


SCHEMAS = [
    (etree.XMLSchema(etree.parse(FOLDER / "ServiceDefinition.xsd")), location.DEFINITION),
    (etree.XMLSchema(etree.parse(FOLDER / "ServiceConfiguration.xsd")), "ServiceConfiguration.Local.cscfg"),
]


ONCE = """
import sys, time
from pathlib import Path
from lxml import etree
from cloudservice import folder, schema, location
place = Path(sys.argv[1])
def bare():
    for root, name in (("ServiceDefinition", ".csdef"), ("ServiceConfiguration", ".Local.cscfg")):
        assert etree.XMLSchema(etree.parse(schema.FOLDER / f"{root}.xsd")).validate(etree.parse(place / (root + name)))
began = time.perf_counter()
bare() if sys.argv[2] == "bare" else folder.load(place, "Local")
print(time.perf_counter() - began)
"""


def once(place: Path, what: str) -> float:
    """Seconds of the first load in a process, the schemas compiled; what a command pays."""
    argv = [sys.executable, "-c", ONCE, place, what]
    return float(subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout)


def repeated(work: object, place: Path) -> None:
    """The same many times, since once is too short to measure."""
    for _ in range(LOADS):
        work(place)  # type: ignore[operator]


def main() -> None:
    """Compare three times."""
    print(f"Python {sys.version.split()[0]}, lxml {etree.__version__}, rolepack {version('rolepack')}")
    compare(
        "the first load of the sample service in a process, schemas compiled",
        {"lxml: parse and validate": lambda: once(ROOT, "bare"), "folder.load": lambda: once(ROOT, "ours")},
        runs=15,
    )
    with tempfile.TemporaryDirectory() as scratch:
        for place, what in (
            (ROOT, "the sample service"),
            (large(Path(scratch)), f"{ROLES} roles, {ROLES * SETTINGS} settings"),
        ):
            compare(
                f"{LOADS} loads of {what}",
                {
                    "lxml: parse and validate": lambda place=place: repeated(bare, place),
                    "read both files": lambda place=place: repeated(read, place),
                    "folder.load": lambda place=place: repeated(lambda root: folder.load(root, "Local"), place),
                },
            )
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    compare(
        "the command line, in the sample service",
        {
            "invoke --list": lambda: subprocess.run(
                [BIN / "invoke", "--list"], cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, check=True
            ),
            "invoke check": lambda: subprocess.run(
                [BIN / "invoke", "check"], cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, check=True
            ),
        },
        runs=15,
    )


if __name__ == "__main__":
    main()
