"""What a running emulator says of itself; programs read it, so keys are only ever added."""

import os
from typing import Any

from cloudservice.instances import Deployment
from cloudservice.plain import to_plain
from emulator import launch
from emulator.fabric import Fabric, Member
from emulator.run import Run


def snapshot(run: Run, deployed: Deployment, fabric: Fabric) -> dict[str, Any]:
    """The state of everything, ready for JSON."""
    return {
        "service": run.service.name,
        "deployment": deployed.id,
        "configuration": run.service.configuration,
        "emulator": {"pid": os.getpid(), "started": fabric.started.strftime("%Y-%m-%dT%H:%M:%SZ")},
        "endpoints": {endpoint.name: endpoint.url for endpoint in fabric.public},
        "instances": [_instance(run, deployed, member) for member in fabric.members],
    }


def _instance(run: Run, deployed: Deployment, member: Member) -> dict[str, Any]:
    instance, life = member.launch.instance, member.life
    return {
        "name": instance.name,
        "role": instance.role,
        "kind": run.service.role(instance.role).kind,
        "state": life.state,
        "pid": life.pid,
        "restarts": life.restarts,
        "exit_code": life.exit_code,
        "reason": life.reason,
        "log_folder": str(launch.logs(run, deployed.id, instance)),
        "tasks": [dict(task) for task in member.tasks],
        "endpoints": to_plain(deployed.endpoints[member.name]),
    }
