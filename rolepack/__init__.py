"""The verbs: `from rolepack import namespace` in a tasks.py gives a service every command."""

import sys
from pathlib import Path

# Invoke puts the service's folder first on the path, where a folder may be called like one of our packages; once they
# are imported, their modules are found in them.
sys.path.insert(0, str(Path(__file__).parent.parent))
try:
    # Invoke keeps Python from writing bytecode, so that a clone's modules would be compiled again for each command.
    sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)
    import cloudservice  # noqa: F401
    import emulator  # noqa: F401
    import packager  # noqa: F401
    import publisher  # noqa: F401
finally:
    del sys.path[0]

from invoke import Collection

from rolepack import (
    adopt,
    bundles,
    certificate,
    change,
    check,
    doctor,
    emulate,
    machines,
    new,
    package,
    publish,
    running,
    site,
    webapp,
    wheels,
)

namespace = Collection(
    new.new_service,
    new.new_role,
    new.add_support_files,
    adopt.adopt,
    change.set_values,
    change.remove_role,
    check.check,
    wheels.lock,
    wheels.wheels,
    package.package,
    bundles.inspect,
    bundles.verify,
    bundles.extract,
    emulate.emulate,
    emulate.upgrade,
    running.status,
    running.logs,
    running.scale,
    running.restart,
    running.execute,
    running.shell,
    running.stop,
    machines.hosts,
    publish.publish,
    publish.rollback,
    publish.swap,
    publish.deployments,
    publish.retire,
    publish.deploy_unlock,
    certificate.certificate,
    webapp.webapp_build,
    webapp.webapp_run,
    webapp.webapp_runtimes,
    webapp.webapp_git,
    site.webapp_settings,
    site.webapp_deployments,
    site.webapp_logs,
    site.webapp_shell,
    site.webapp_package,
    doctor.webapp_doctor,
)
