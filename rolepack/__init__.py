"""The verbs: `from rolepack import namespace` in a tasks.py gives a service every command."""

from invoke import Collection

from rolepack import check, emulate, new, package

namespace = Collection(
    new.new_service,
    new.new_role,
    check.check,
    package.package,
    emulate.emulate,
    emulate.status,
    emulate.logs,
    emulate.stop,
)
