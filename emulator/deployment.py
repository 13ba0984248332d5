"""Deploying a run on this machine: its id, its ports, its folders."""

import os
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from cloudservice import files, rolemodel
from cloudservice.instances import Address, Deployment, Instance, LocalResource, instances, stores
from cloudservice.service import Endpoint
from emulator import launch, ports, sites
from emulator.run import Run

_KEPT = 10
"""Deployments whose logs and local stores stay, the new one among them."""


def deploy(run: Run, before: Deployment | None = None) -> Deployment:
    """Choose an id, an address for every endpoint and a folder for every local store; nothing is written.

    What was decided in the deployment before stays, as far as it is still there.
    """
    deployment_id = before.id if before else _new_id(run)
    there = instances(run.service, run.roles)
    free = ports.for_instances()
    endpoints: dict[str, Mapping[str, Address]] = {}
    resources: dict[str, Mapping[str, LocalResource]] = {}
    for instance in there:
        role = run.service.role(instance.role)
        known = before.endpoints.get(instance.name, {}) if before else {}
        endpoints[instance.name] = {
            endpoint.name: _address(endpoint, known.get(endpoint.name), free) for endpoint in role.endpoints
        }
        resources[instance.name] = {
            store.name: LocalResource(str(launch.resource(run, deployment_id, instance, store.name)), store.size_in_mb)
            for store in stores(role)
        }
    return Deployment(deployment_id, True, there, endpoints, resources)


def lay(run: Run, deployment: Deployment, instance: Instance) -> None:
    """Make the folders of an instance: its role root with a link to the sources, its local stores, its temp."""
    role = run.service.role(instance.role)
    root = launch.role_root(run, instance)
    root.mkdir(parents=True, exist_ok=True)
    directories = {names: str(run.sites[role.name][sites.key(names)]) for names, _ in sites.folders(role)}
    (root / "RoleModel.xml").write_bytes(rolemodel.render(role, directories))
    _link(run.sources[role.name], root / "approot")
    for store in deployment.local_resources[instance.name].values():
        Path(store.path).mkdir(parents=True, exist_ok=True)
    launch.logs(run, deployment.id, instance).mkdir(exist_ok=True)
    _temp(run, deployment, instance).mkdir(parents=True, exist_ok=True)


def clean(run: Run, deployment: Deployment, instance: Instance) -> None:
    """Empty the local stores that the definition wants clean at each recycle."""
    for store in stores(run.service.role(instance.role)):
        if store.clean_on_role_recycle:
            folder = Path(deployment.local_resources[instance.name][store.name].path)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)


def forget_old(run: Run) -> None:
    """Make room for a new deployment: remove the role roots of the last one, and what the oldest ones left."""
    shutil.rmtree(run.state / "roles", ignore_errors=True)
    for kind in ("Directory", "temp"):
        folder = run.state / "Resources" / kind
        ids = deployment_ids(folder)
        for old in ids[: max(0, len(ids) - _KEPT + 1)]:
            for path in folder.glob(f"{old}.*"):
                shutil.rmtree(path, ignore_errors=True)


def deployment_ids(resources: Path) -> list[str]:
    """The ids of the deployments that have folders below `resources`, oldest first."""
    return sorted({path.name.partition(".")[0] for path in files.entries(resources)})


def _new_id(run: Run) -> str:
    """An id that sorts by time: `deployment-20261121T104500-001`."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    taken = deployment_ids(run.state / "Resources" / "Directory")
    number = 1 + sum(moment in one for one in taken)
    return f"deployment-{moment}-{number:03}"


def _address(endpoint: Endpoint, known: Address | None, free: Iterator[int]) -> Address:
    """That of the deployment before, unless its port is one of another kind; else a new one."""
    if known and (known.protocol == "udp") == (endpoint.protocol == "udp"):
        return known._replace(protocol=endpoint.protocol)
    return Address(endpoint.protocol, ports.LOOPBACK, next(free))


def _temp(run: Run, deployment: Deployment, instance: Instance) -> Path:
    return run.state / "Resources" / "temp" / f"{deployment.id}.{instance.name}"


def _link(source: Path, link: Path) -> None:
    """A link to a folder; on Windows a junction, which needs no privilege, or a copy where the disk has none."""
    if os.name == "nt":
        import _winapi

        if link.exists():
            try:
                link.rmdir()
            except OSError:  # it is a copy; rmtree never follows a junction
                shutil.rmtree(link)
        try:
            _winapi.CreateJunction(str(source), str(link))  # type: ignore[attr-defined, unused-ignore]
        except OSError:
            link.rmdir()
            shutil.copytree(source, link)
    elif not link.is_symlink() or link.readlink() != source:
        new = link.with_name(f".{link.name}")
        new.symlink_to(source, target_is_directory=True)
        new.replace(link)
