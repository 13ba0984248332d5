"""invoke set, remove-role: changes of the service's files that keep every other byte."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from invoke import Context

from rolepack.command import SERVICE, command, listed, say, service_folder

if TYPE_CHECKING:
    from cloudservice.changes import Plan


@command(
    name="set",
    positional=["role"],
    iterable=["setting"],
    help={
        "role": "Name of the role.",
        "instances": "How many instances it has.",
        "setting": "NAME=VALUE, the value of a setting that the definition declares; repeatable.",
        "configuration": "Only in ServiceConfiguration.NAME.cscfg (default: every configuration that has it).",
        "service": SERVICE,
    },
)
def set_values(
    _context: Context,
    role: str,
    service: str | None = None,  # the first, so that -s means it as in every command
    instances: str | None = None,
    setting: Sequence[str] | None = None,
    configuration: str | None = None,
) -> None:
    """Set the instance count and the settings of a role in the configurations.

    Example: invoke set frontend --instances 3 --setting Title=Hello --configuration Cloud
    """
    from cloudservice import changes
    from cloudservice.element import is_number
    from cloudservice.errors import Fault, ServiceError

    given = setting or ()
    faults = []
    if instances is not None and not is_number(instances):
        faults.append(Fault("--instances", f"'{instances}' is no number", "Write a whole number of 1 or more"))
    for each in given:
        if "=" not in each:
            remedy = f"Write it as NAME=VALUE; {each}= is an empty one"
            faults.append(Fault("--setting", f"'{each}' has no value", remedy))
    names = [each.partition("=")[0] for each in given]
    for name in sorted({name for name in names if names.count(name) > 1}):
        faults.append(Fault("--setting", f"'{name}' is given more than once", "Give it one value"))
    if instances is None and not given:
        faults.append(Fault("set", "there is nothing to set", "Add --instances N or --setting NAME=VALUE"))
    if faults:
        raise ServiceError(*faults)
    values = dict(each.split("=", 1) for each in given)
    count = None if instances is None else int(instances)
    plan = changes.plan_values(service_folder(service), role, count, values, configuration)
    changes.write(plan)
    _say(plan, f"role {role} has ")


@command(
    positional=["name"],
    help={"name": "Name of the role.", "service": SERVICE},
)
def remove_role(_context: Context, name: str, service: str | None = None) -> None:
    """Remove a role from the definition and from every configuration; its folder stays.

    Example: invoke remove-role orders
    """
    from cloudservice import changes, definition, location, project, sources
    from cloudservice.files import shown

    root = service_folder(service)
    roles = definition.load(location.definition_file(root)).roles
    places = sources.find(root, roles)
    plan = changes.plan_removal(root, name)
    changes.write(plan)
    _say(plan, "now ")
    if name in places and places[name].folder.is_dir():
        say(f"Its folder {shown(places[name].folder)} is still there.")
    cloud_project = project.find(root)
    if cloud_project is not None and name in {one.role for one in project.references(cloud_project)}:
        say(f"{shown(cloud_project)} refers to it still.")
    for fault in plan.left:
        say(f"Next: {fault}")


def _say(plan: "Plan", verb: str) -> None:
    from cloudservice.files import shown

    for path, words in plan.said.items():
        say(f"{shown(path)}: {verb}{listed(words)}.")
