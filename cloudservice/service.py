"""The values: a service, its roles and what is configured for them. Nothing here reads a file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["web", "worker"]
TaskType = Literal["simple", "foreground", "background"]
EndpointKind = Literal["input", "internal", "instance-input"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A place where a role listens.

    `port` is the public port of an input endpoint and the fixed port of an internal one, if it has any;
    `local_port` is what the role itself would bind in the cloud. None means that the fabric chooses.
    """

    name: str
    kind: EndpointKind
    protocol: str
    port: int | None
    local_port: int | None


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable: a fixed value, or an xpath into the role environment."""

    name: str
    value: str | None
    xpath: str | None


@dataclass(frozen=True, slots=True)
class Task:
    """A startup task and the variables that only it sees."""

    command_line: str
    task_type: TaskType
    execution_context: str
    environment: tuple[Variable, ...]


@dataclass(frozen=True, slots=True)
class LocalStorage:
    """A folder that the fabric gives to each instance."""

    name: str
    size_in_mb: int
    clean_on_role_recycle: bool


@dataclass(frozen=True, slots=True)
class Site:
    """A web site of a web role; `physical_directory` is relative to the definition, None means the role's folder."""

    name: str
    physical_directory: str | None
    endpoints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Role:
    """What the definition says of one role."""

    name: str
    kind: Kind
    vmsize: str
    endpoints: tuple[Endpoint, ...]
    settings: tuple[str, ...]
    certificates: tuple[str, ...]
    local_storage: tuple[LocalStorage, ...]
    tasks: tuple[Task, ...]
    environment: tuple[Variable, ...]
    entry_point: str | None
    sites: tuple[Site, ...]


@dataclass(frozen=True, slots=True)
class RoleConfiguration:
    """What one configuration file says of one role."""

    instances: int
    settings: Mapping[str, str]
    thumbprints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Service:
    """A definition joined with one configuration: every role has both."""

    name: str
    configuration: str
    update_domains: int
    roles: tuple[Role, ...]
    configured: Mapping[str, RoleConfiguration]

    def role(self, name: str) -> Role:
        """The role of that name; KeyError if there is none."""
        for role in self.roles:
            if role.name == name:
                return role
        raise KeyError(name)
