"""The installed script `rolepack`: the same commands without a tasks.py."""

from importlib.metadata import version

from invoke import Program

from rolepack import namespace


def main() -> None:
    """Run the command line."""
    Program(namespace=namespace, name="rolepack", binary="rolepack", version=version("rolepack")).run()


if __name__ == "__main__":
    main()
