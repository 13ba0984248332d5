"""The modules of the SDK that a role may import, and what each of them brings.

Source: the plug-in definitions of SDK 2.9, as far as they are publicly described.
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

from cloudservice.service import Endpoint, Role


class Module(NamedTuple):
    """What a module brings; settings of `optional` came with some versions of the SDK only.

    A module that is `withdrawn` is refused by Cloud Services (extended support).
    """

    settings: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    withdrawn: bool = False


KNOWN: Mapping[str, Module] = {
    "Diagnostics": Module(optional=("ConnectionString",)),
    "RemoteAccess": Module(
        settings=("Enabled", "AccountUsername", "AccountEncryptedPassword", "AccountExpiration"),
        certificates=("PasswordEncryption",),
        endpoints=(Endpoint("Rdp", "internal", "tcp", 3389),),
        withdrawn=True,
    ),
    "RemoteForwarder": Module(
        settings=("Enabled",),
        endpoints=(Endpoint("RdpInput", "input", "tcp", 3389, ignore_role_instance_status=True),),
        withdrawn=True,
    ),
    "Caching": Module(
        settings=("NamedCaches", "DiagnosticLevel", "CacheSizePercentage", "ConfigStoreConnectionString"),
        endpoints=tuple(
            Endpoint(name, "internal", "tcp")
            for name in (
                "cacheArbitrationPort",
                "cacheClusterPort",
                "cacheReplicationPort",
                "cacheServicePortInternal",
                "cacheSocketPort",
            )
        ),
    ),
}


def are_known(role: Role) -> bool:
    """Whether all that the role imports is known here, so that what is brought is all there is."""
    return set(role.imports) <= KNOWN.keys()


def endpoints_of(role: Role) -> tuple[Endpoint, ...]:
    """The endpoints of the role, and those that its modules bring."""
    return *role.endpoints, *brought(role.imports).endpoints


@functools.lru_cache(maxsize=64)
def brought(imports: tuple[str, ...]) -> Module:
    """Everything that the modules bring together, by full names; one that is not known brings nothing here."""
    known = [
        (f"Microsoft.WindowsAzure.Plugins.{name}.", KNOWN[name]) for name in dict.fromkeys(imports) if name in KNOWN
    ]
    return Module(
        settings=tuple(prefix + name for prefix, module in known for name in module.settings),
        optional=tuple(prefix + name for prefix, module in known for name in module.optional),
        certificates=tuple(prefix + name for prefix, module in known for name in module.certificates),
        endpoints=tuple(
            each._replace(name=prefix + each.name) for prefix, module in known for each in module.endpoints
        ),
    )
