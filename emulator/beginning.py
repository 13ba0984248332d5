"""The beginning of a run: what every instance starts with is started before there is an event loop.

To load that takes as long as a site needs to answer; now both are done at once.
"""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cloudservice.files import write_whole
from cloudservice.instances import Deployment, Instance, role_environment
from emulator import children, deployment
from emulator.launch import Launch, plan
from emulator.public import PublicPorts
from emulator.run import Run
from emulator.spawn import Popen, spawn


class Begun(NamedTuple):
    """A run that has begun: how it is deployed, what was prepared and started by instance, and what is to be told."""

    deployed: Deployment
    public: PublicPorts
    launches: dict[str, Launch]
    processes: dict[str, Popen]
    said: list[str]


def begin(run: Run) -> Begun:
    """Deploy a run, listen for it, and start the first process of each instance.

    ServiceError where an instance can never start. What may go better the next time is left to the instance's life.
    """
    deployment.forget_old(run)
    said: list[str] = []
    begun = Begun(deployment.deploy(run), PublicPorts(said.append), {}, {}, said)
    begun.public.open(run.service, begun.deployed.instances)
    for instance in begun.deployed.instances:
        with contextlib.suppress(OSError):
            begun.launches[instance.name] = prepare(run, begun.deployed, begun.public, instance)
    children.adopt()
    for name, launch in begun.launches.items():
        if launch.first:
            with contextlib.suppress(OSError):
                begun.processes[name] = spawn(launch.first)
    return begun


def prepare(run: Run, deployed: Deployment, public: PublicPorts, instance: Instance) -> Launch:
    """Make an instance's folders and files ready for a start."""
    deployment.lay(run, deployed, instance)
    document = role_environment(run.service, deployed, instance)
    sockets = tuple(public.sockets(run.service, deployed, instance))
    launch = plan(run, deployed, instance, document, sockets)
    write_document(launch.document_path, document)
    return launch


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write a role environment; one that is there already is left alone, since programs may watch its file."""
    text = json.dumps(document)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_whole(path, text, durable=False)
