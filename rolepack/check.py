"""invoke check: every fault of a service at once."""

from invoke import Context

from rolepack.command import SERVICE, command, say, service_folder


@command(help={"service": SERVICE})
def check(_context: Context, service: str | None = None) -> None:
    """Read the definition, every configuration and the role folders, and print every fault.

    Example: invoke check --service shop
    """
    from cloudservice import folder
    from cloudservice.files import shown

    root = service_folder(service)
    services = folder.check(root)
    roles = ", ".join(f"{role.name} ({role.kind})" for role in services[0].roles)
    names = ", ".join(one.configuration for one in services)
    say(f"Checked service '{services[0].name}' in {shown(root)}: {roles}; configurations {names}. No fault found.")
