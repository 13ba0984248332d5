"""The installed script `rolepack`: the same commands without a tasks.py."""

import sys
from importlib.metadata import version

from invoke import Program

from rolepack import namespace
from rolepack.command import silence


class _Program(Program):
    """A program whose help is about its commands; the options of Invoke itself stay what they are."""

    def print_help(self) -> None:
        """Print what commands there are, and how to learn about one."""
        print("Usage: rolepack COMMAND [OPTIONS]\n")
        self.list_tasks()
        print("Help for a command: rolepack --help COMMAND, such as rolepack --help check")


def main() -> None:
    """Run the command line."""
    try:
        try:
            _Program(namespace=namespace, name="rolepack", binary="rolepack", version=version("rolepack")).run()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        silence()
        sys.exit(1)


if __name__ == "__main__":
    main()
