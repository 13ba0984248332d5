"""The installed script `rolepack`: the same commands without a tasks.py."""

from importlib.metadata import version

from invoke import Program

from rolepack import namespace


def program() -> Program:
    """The command line."""
    return Program(namespace=namespace, name="rolepack", binary="rolepack", version=version("rolepack"))


def main() -> None:
    """Run the command line."""
    program().run()
