"""The rules of a service by name: how grave it is to break one, and what it asks for."""

from collections.abc import Mapping
from dataclasses import dataclass

from cloudservice.errors import Level


@dataclass(frozen=True, slots=True)
class Rule:
    """`about` completes "This rule asks that …"."""

    level: Level
    about: str


def level(rule: str) -> Level:
    """How grave it is to break the rule of that name."""
    return RULES[rule].level


def _error(about: str) -> Rule:
    return Rule("error", about)


def _warning(about: str) -> Rule:
    return Rule("warning", about)


RULES: Mapping[str, Rule] = {
    # files
    "unreadable": _error("a file is there and can be read"),
    "too-large": _error("a file has a sane size"),
    "encoding": _error("a file is in the encoding that it begins with or declares"),
    "doctype": _error("a file has no document type declaration"),
    "not-xml": _error("a file is well-formed XML"),
    "wrong-root": _error("the root element is that of a definition, a configuration or a project"),
    "no-configuration": _error("a service has a configuration"),
    "same-configuration": _error("no two files are the same configuration"),
    # what the schemas say
    "unknown-element": _error("an element stands where the format knows it"),
    "repeated-element": _error("an element that stands once does not stand twice"),
    "missing-element": _error("an element that the format wants is there"),
    "unknown-attribute": _error("an attribute is one that the format knows"),
    "missing-attribute": _error("an attribute that the format wants is there"),
    "value": _error("an attribute has a value that the format allows"),
    "text": _error("there is no text between elements"),
    "too-many-faults": _error("a file resembles a definition or a configuration at all"),
    # the definition
    "bad-name": _error("services, roles and local stores have names that files can have"),
    "same-name": _error("names are used once, in whatever case"),
    "no-role": _error("a service has a role"),
    "too-many-roles": _error("a service has 25 roles at most"),
    "too-many-endpoints": _error("a service has 25 endpoints at most, a worker role 5 internal ones"),
    "same-port": _error("a public port belongs to one endpoint"),
    "no-certificate": _error("an https endpoint names a certificate"),
    "unknown-certificate": _error("an endpoint names a certificate of its role"),
    "unknown-probe": _error("an endpoint names a probe that is there"),
    "unknown-size": _warning("a role has a size that Azure knows"),
    "port-twice": _error("an internal endpoint has its ports as an attribute or as children"),
    "empty-range": _error("a range of ports has one at least"),
    "unknown-endpoint": _error("a binding names an endpoint of its role"),
    "binding-protocol": _error("a site is bound to an http or https endpoint"),
    "same-binding": _error("two sites do not answer in the same place"),
    "variable-value": _error("a variable has a value or a RoleInstanceValue"),
    "variable-name": _error("a variable has a name that the environment can hold"),
    "unknown-xpath": _error("an xpath is one of the documented ones and names what the role has"),
    "probe-path": _error("an http probe has a path and a tcp probe has none"),
    "traffic-source": _error("a traffic rule allows all traffic or that of some roles"),
    "traffic-role": _error("a traffic rule names roles that are there"),
    "traffic-endpoint": _error("a traffic rule names internal endpoints that are there"),
    "unknown-module": _warning("an imported module is one whose settings are known here"),
    # files of the roles
    "project-role": _warning("a cloud service project refers to roles of the definition"),
    "no-folder": _error("a role has a folder"),
    "far-folder": _error("the folder of a role lies in or beside the service"),
    "no-program": _error("a worker role has a program to run"),
    "no-worker-program": _warning("LaunchWorker.ps1 is told which program to run"),
    "not-startable": _error("a command line starts what Windows can start"),
    "batch-mark": _warning("a batch file begins without a byte order mark"),
    "no-web-config": _warning("a Python site has a web.config"),
    "no-handler": _warning("the web.config of a Python site names its application"),
    "missing-file": _error("a command line names files that are there"),
    "not-in-project": _error("a command line names files that the role's project packages"),
    "no-directory": _error("a folder that the definition names is there"),
    "far-directory": _error("the folder of a site lies in or beside the service"),
    "content-destination": _error("content is put below the role's folder"),
    "part-left-out": _warning("a part of a role is one that is packaged and served here"),
    "role-left-out": _warning("a role is one that is packaged and run here"),
    # the configuration
    "service-name": _error("definition and configuration are of the same service"),
    "role-missing": _error("every role of the definition is configured"),
    "role-unknown": _error("every role that is configured is in the definition"),
    "setting-missing": _error("every setting of the definition and of imported modules has a value"),
    "setting-unknown": _error("every setting with a value is declared"),
    "certificate-missing": _error("every certificate of the definition and of imported modules has a thumbprint"),
    "certificate-unknown": _error("every certificate with a thumbprint is declared"),
    "thumbprint": _warning("a thumbprint is that of a certificate"),
    "range-too-small": _error("an instance input endpoint has a public port for each instance"),
    "same-order": _error("the rules of an access control have different orders"),
    "bad-subnet": _error("an access rule names a subnet"),
    "bad-address": _error("an address is an IP address"),
    "network-role": _error("the network configuration names roles that are there"),
    "acl-endpoint": _error("an endpoint's access control names an endpoint that is there"),
    "acl-control": _error("an endpoint's access control is there"),
    "load-balancer": _error("a load balancer that an endpoint names is there"),
    # what ends
    "retired-platform": _warning("the service knows that Cloud Services end on 31 March 2027"),
    "retired-module": _warning("no module is imported that Cloud Services (extended support) refuse"),
    "retired-os": _warning("the operating system is maintained"),
    "unknown-os": _warning("the operating system is a known one"),
    "retired-python": _warning("a role's Python is maintained"),
}
