"""A megabyte of anything costs less than a second and 200 MB, and ends in a message."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from cloudservice import configuration, definition

SIZE = 1_000_000
SECONDS, MEGABYTES = 1.0, 200.0
MEASURED = """
import resource, sys, time
from datetime import date
from pathlib import Path
from cloudservice import folder
began = time.process_time()
faults = folder.check(Path(sys.argv[1]), date(2026, 11, 21)).errors
kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(time.process_time() - began, kilobytes / 1000, len(faults), max(len(str(fault)) for fault in faults))
"""


def many(unit: str | Callable[[int], str], size: int = SIZE - 1000) -> str:
    """As many of a piece as `size` characters hold; a function is asked for each by its number."""
    if isinstance(unit, str):
        return unit * (size // len(unit))
    pieces: list[str] = []
    while size > 0:
        pieces.append(unit(len(pieces)))
        size -= len(pieces[-1])
    return "".join(pieces)


def within(tag: str, inner: str) -> str:
    return f"<{tag}>{inner}</{tag}>"


def service(inner: str) -> str:
    return f'<ServiceDefinition name="s" xmlns="{definition.NAMESPACE}">{inner}</ServiceDefinition>'


def worker(inner: str, attributes: str = "") -> str:
    return service(f'<WorkerRole name="w"{attributes}>{inner}</WorkerRole>')


def site(inner: str, attributes: str = "") -> str:
    return service(f'<WebRole name="w"><Sites><Site name="x"{attributes}>{inner}</Site></Sites></WebRole>')


def configured(inner: str) -> str:
    return f'<ServiceConfiguration serviceName="s" xmlns="{configuration.NAMESPACE}">{inner}</ServiceConfiguration>'


def role(inner: str) -> str:
    return configured(f'<Role name="w"><Instances count="1"/>{inner}</Role>')


DIRECTORY = '<VirtualDirectory name="x" physicalDirectory="x">'
RANGE = '<AllocatePublicPortFrom><FixedPortRange min="1" max="65535"/></AllocatePublicPortFrom></InstanceInputEndpoint>'
LAUGHS = "".join(f'<!ENTITY a{n} "' + f"&a{n - 1};" * 10 + '">' for n in range(1, 20))
DESTINATION = '<Destinations><RoleEndpoint endpointName="e" roleName="r"/></Destinations>'
DEFINITIONS = {
    "settings": lambda: worker(within("ConfigurationSettings", many(lambda n: f'<Setting name="s{n}"/>'))),
    "same-settings": lambda: worker(within("ConfigurationSettings", many('<Setting name="s"/>'))),
    "elements": lambda: worker(many("<a/>")),
    "elements-of-a-small-file": lambda: worker(many("<a/>", 29_000)),
    "attributes": lambda: worker(within("ConfigurationSettings", many('<Setting x="" y=""/>'))),
    "attributes-of-a-small-file": lambda: worker(many('<Startup x="" y=""/>', 29_000)),
    "attributes-of-one-element": lambda: worker("<Startup " + many(lambda n: f'a{n}="" ') + "/>"),
    "endpoints": lambda: worker(
        within("Endpoints", many(lambda n: f'<InputEndpoint name="e{n}" protocol="tcp" port="{n % 65535 + 1}"/>'))
    ),
    "ranges": lambda: worker(
        within("Endpoints", many(lambda n: f'<InstanceInputEndpoint name="e{n}" protocol="tcp" localPort="1">{RANGE}'))
    ),
    "variables": lambda: worker(
        "<Runtime><Environment>"
        + many(lambda n: f'<Variable name="v{n}"><RoleInstanceValue xpath="/RoleEnvironment/@id{n}"/></Variable>')
        + "</Environment></Runtime>"
    ),
    "command-line": lambda: worker(f'<Startup><Task commandLine="{many("a ")}"/></Startup>'),
    "command-lines": lambda: worker(within("Startup", many(lambda n: f'<Task commandLine="bin/{n}.cmd x.ps1"/>'))),
    "imports": lambda: worker(within("Imports", many('<Import moduleName="RemoteForwarder"/>'))),
    "name": lambda: worker("", f' vmsize="{many("a")}"'),
    "path-as-name": lambda: service(f'<WorkerRole name="{many("../", 32_000)}"/>'),
    "directory": lambda: site("", f' physicalDirectory="{many("a/", 32_000)}"'),
    "far-directory": lambda: site("", f' physicalDirectory="{many("a/../", 4_000)}"'),
    "directories": lambda: site(many(lambda n: f'<VirtualDirectory name="d{n}" physicalDirectory="a/b/c/d"/>')),
    "deep-directories": lambda: site(
        DIRECTORY * 245 + many("<VirtualDirectory/>", 900_000) + "</VirtualDirectory>" * 245
    ),
    "deep-directories-of-a-small-file": lambda: site(
        (DIRECTORY + "<VirtualDirectory/>" * 5) * 120 + many("<VirtualDirectory/>", 9_000) + "</VirtualDirectory>" * 120
    ),
    "roles": lambda: service(many(lambda n: f'<WorkerRole name="w{n}"/>')),
    "same-roles": lambda: service(many('<WorkerRole name="w"/>')),
    "probes": lambda: service(within("LoadBalancerProbes", many('<LoadBalancerProbe name="p" protocol="http"/>'))),
    "traffic": lambda: service(
        within("NetworkTrafficRules", many(f"<OnlyAllowTrafficTo>{DESTINATION}</OnlyAllowTrafficTo>"))
    ),
    "utf-16": lambda: worker(within("Startup", many('<Task commandLine=""/>', SIZE // 2 - 1000))).encode("utf-16"),
    "depth": lambda: worker("<a>" * 100_000 + "</a>" * 100_000),
    "laughs": lambda: f'<!DOCTYPE a [<!ENTITY a0 "ha">{LAUGHS}]>{worker("&a19;")}',
    "quadratic-laughs": lambda: f'<!DOCTYPE a [<!ENTITY a "{many("x", 400_000)}">]>{worker("&a;" * 100_000)}',
    "outer-entity": lambda: f'<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>{worker("&a;")}',
    "outer-dtd": lambda: f'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">{worker("")}',
    "comments": lambda: many("<!---->") + worker(""),
    "instructions": lambda: many("<?a?>") + worker(""),
    "prolog": lambda: many(" ") + "<!DOCTYPE",
    "open-comments": lambda: many("<!--"),
    "open-tags": lambda: many("<a "),
    "namespaces": lambda: worker("<a " + many(lambda n: f'xmlns:n{n}="u{n}" ') + "/>"),
    "prefixes": lambda: worker(many(lambda n: f'<n{n}:a xmlns:n{n}="u"/>')),
    "text": lambda: worker(many("a")),
    "wide-characters": lambda: worker(many("\U0001f600", 240_000)),
    "references": lambda: worker(many("&#65;")),
    "entities": lambda: worker(many("&x;")),
    "cdata": lambda: worker(f"<![CDATA[{many(']')}]]>"),
    "nul": lambda: worker(many("\0")),
}
CONFIGURATIONS = {
    "settings": lambda: role(within("ConfigurationSettings", many(lambda n: f'<Setting name="s{n}" value=""/>'))),
    "attributes": lambda: role(within("ConfigurationSettings", many('<Setting a="" b="" c=""/>'))),
    "roles": lambda: configured(many(lambda n: f'<Role name="w{n}"><Instances count="1"/></Role>')),
    "thumbprints": lambda: role(within("Certificates", many('<Certificate name="c" thumbprint="x"/>'))),
    "access-rules": lambda: configured(
        '<NetworkConfiguration><AccessControls><AccessControl name="a">'
        + many('<Rule order="1" action="permit" remoteSubnet="x"/>')
        + "</AccessControl></AccessControls></NetworkConfiguration>"
    ),
    "acls": lambda: configured(
        "<NetworkConfiguration><EndpointAcls>"
        + many('<EndpointAcl role="w" endpoint="e" accessControl="c"/>')
        + "</EndpointAcls></NetworkConfiguration>"
    ),
    "value": lambda: role(f'<ConfigurationSettings><Setting name="s" value="{many("v")}"/></ConfigurationSettings>'),
}
INPUTS = [
    *(pytest.param("ServiceDefinition.csdef", make, id=f"definition-{name}") for name, make in DEFINITIONS.items()),
    *(
        pytest.param("ServiceConfiguration.Local.cscfg", make, id=f"configuration-{name}")
        for name, make in CONFIGURATIONS.items()
    ),
]


@pytest.mark.parametrize(("file", "make"), INPUTS)
def test_it_costs_little_and_ends_in_a_message(file, make, tmp_path):
    (tmp_path / "roles" / "w").mkdir(parents=True)
    (tmp_path / "roles" / "w" / "worker.py").touch()
    (tmp_path / "ServiceDefinition.csdef").write_text(worker(""))
    (tmp_path / "ServiceConfiguration.Local.cscfg").write_text(role(""))
    content = make()
    (tmp_path / file).write_bytes(content.encode() if isinstance(content, str) else content)
    argv = [sys.executable, "-c", MEASURED, tmp_path]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    seconds, megabytes, faults, longest = map(float, done.stdout.split())
    assert seconds < SECONDS
    assert megabytes < MEGABYTES
    assert 0 < faults <= 2 * 501
    assert longest < 2_500
