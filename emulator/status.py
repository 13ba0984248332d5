"""What a running emulator says of itself; programs read it, so keys are only ever added."""

import os
from typing import Any

from cloudservice.plain import to_plain
from emulator import launch
from emulator.fabric import Fabric
from emulator.member import Member


def snapshot(fabric: Fabric) -> dict[str, Any]:
    """The state of everything, ready for JSON."""
    return {
        "service": fabric.run.service.name,
        "deployment": fabric.deployed.id,
        "configuration": fabric.run.service.configuration,
        "emulator": {
            "pid": os.getpid(),
            "started": fabric.started.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "grace": fabric.run.grace,
        },
        "endpoints": {endpoint.name: endpoint.url for endpoint in fabric.public.endpoints},
        "left_out": [role.name for role in fabric.run.service.roles if role.name not in fabric.run.roles],
        "refused": [str(fault) for fault in fabric.refused],
        "instances": [_instance(fabric, member) for member in fabric.members],
    }


def _instance(fabric: Fabric, member: Member) -> dict[str, Any]:
    instance, life = member.instance, member.life
    return {
        "name": instance.name,
        "role": instance.role,
        "kind": member.run.service.role(instance.role).kind,
        "update_domain": instance.update_domain,
        "state": life.state,
        "pid": life.pid,
        "restarts": life.restarts,
        "probes": dict(member.probed),
        "exit_code": life.exit_code,
        "reason": life.reason,
        "log_folder": str(launch.logs(member.run, fabric.deployed.id, instance)),
        "tasks": [
            {"command_line": task.command_line, "state": task.state, "exit_code": task.exit_code}
            for task in member.tasks
        ],
        "endpoints": to_plain(member.launch.addresses if member.launch else {}),
    }
