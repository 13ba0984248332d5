"""A service with its own Windows machines, for tests: a bundle, hosts.yaml, and what the machines answer."""

import contextlib
import http.client
import json
import secrets
import socket
import subprocess
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from conftest import Rolepack
from machines import Machine
from winrm_host import Winrm

PASSWORD = "S3cret!x"  # noqa: S105
DEFINITION = """<?xml version="1.0" encoding="utf-8"?>
<ServiceDefinition name="shop" xmlns="http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition">
  <LoadBalancerProbes>
    <LoadBalancerProbe name="Well" protocol="http" path="/health" />
  </LoadBalancerProbes>
  <WorkerRole name="api" vmsize="Small">
    <ConfigurationSettings>
      <Setting name="Greeting" />
    </ConfigurationSettings>
    <Endpoints>
      <InputEndpoint name="Api" protocol="http" port="{port}" loadBalancerProbe="Well" />
    </Endpoints>
    {startup}
    <Runtime>
      <Environment>
        <Variable name="GREETING">
          <RoleInstanceValue xpath="{setting}" />
        </Variable>
      </Environment>
      <EntryPoint>
        <ProgramEntryPoint commandLine="python -u worker.py" setReadyOnProcessStart="true" />
      </EntryPoint>
    </Runtime>
  </WorkerRole>
</ServiceDefinition>
"""
SETTING = "/RoleEnvironment/CurrentInstance/ConfigurationSettings/ConfigurationSetting[@name='Greeting']/@value"
CONFIGURATION = """<?xml version="1.0" encoding="utf-8"?>
<ServiceConfiguration serviceName="shop" osFamily="6" osVersion="*"
    xmlns="http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceConfiguration">
  <Role name="api">
    <Instances count="{instances}" />
    <ConfigurationSettings>
      <Setting name="Greeting" value="{greeting}" />
    </ConfigurationSettings>
  </Role>
</ServiceConfiguration>
"""
WORKER = """
import json
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

VERSION = {version!r}
with open(os.environ["ROLE_ENVIRONMENT"], encoding="utf-8") as file:
    document = json.load(file)
here = document["current"]
at = here["endpoints"]["Api"]


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        told = {{"version": VERSION, "instance": here["id"], "root": os.getcwd()}}
        told["greeting"] = os.environ["GREETING"]
        told["others"] = [one["id"] for one in document["roles"]["api"]["instances"]]
        self.send_response(200)
        content = json.dumps(told).encode()
        self.send_header("Content-Length", str(len(content)))  # what a worker that is ended leaves unsaid is missed
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


print(here["id"], "serves", VERSION, flush=True)
HTTPServer((at["address"], at["port"]), Answers).serve_forever()
"""


class Farm:
    """Machines, each with WinRM in front of it and in an update domain of its own, and a service in a folder."""

    def __init__(self, folder: Path, machines: Sequence[Machine], rolepack: Rolepack) -> None:
        self.folder, self.machines, self.rolepack = folder, machines, rolepack
        self.hosts: list[Winrm] = []
        self.root = f"C:\\rp-{uuid.uuid4().hex[:8]}"
        self.port, self.offset = _free_ports([one.address for one in machines])
        self.environ = {"ROLEPACK_PASSWORD": PASSWORD}
        self.options = {"steady": 0, "grace": 5, "up_within": 30}

    @contextlib.contextmanager
    def open(self, **options: Any) -> Iterator["Farm"]:
        """Let the machines be reached, and write what the service is."""
        with contextlib.ExitStack() as stack:
            self.hosts = [stack.enter_context(one.winrm(password=PASSWORD, **options)) for one in self.machines]
            self.write_hosts()
            self.configure()
            yield self

    def write_hosts(self, **more: Any) -> None:
        """Write hosts.yaml; `more` are keys of every host, of which those that are None are left out."""
        machines = {}
        for number, (machine, host) in enumerate(zip(self.machines, self.hosts, strict=True)):
            told = {
                "address": machine.address,
                "port": host.port,
                "account": host.user,
                "roles": ["api"],
                "update_domain": number,
                "root": self.root_of(number),
                "python": machine.interpreter,
                **more,
            }
            machines[f"m{number}"] = {key: value for key, value in told.items() if value is not None}
        whole = {**self.options, "staging_offset": self.offset, "hosts": machines}
        (self.folder / "hosts.yaml").write_text(json.dumps(whole))  # which is YAML too

    def configure(self, greeting: str = "hello", instances: int | None = None) -> None:
        """Write the configuration that is published."""
        count = len(self.machines) if instances is None else instances
        text = CONFIGURATION.format(greeting=greeting, instances=count)
        for place in (self.folder, self.folder / "dist"):
            place.mkdir(exist_ok=True)
            (place / "ServiceConfiguration.Cloud.cscfg").write_text(text)

    def package(self, version: str, startup: str = "", worker: str = WORKER) -> Path:
        """Make the bundle of a version."""
        text = DEFINITION.format(port=self.port, startup=startup, setting=SETTING)
        (self.folder / "ServiceDefinition.csdef").write_text(text)
        role = self.folder / "roles" / "api"
        role.mkdir(parents=True, exist_ok=True)
        (role / "worker.py").write_text(worker.format(version=version))
        self.rolepack.ok("package", "--python", "3.11", cwd=self.folder)
        return self.folder / "dist" / "shop.cspkg"

    def root_of(self, number: int) -> str:
        """The folder of rolepack on a machine; the disk is common to all of an installation."""
        return f"{self.root}\\{number}"

    def disk(self, number: int) -> Path:
        """That folder, as this machine sees it."""
        return self.machines[number].prefix.joinpath("drive_c", *self.root_of(number).split("\\")[1:])

    def run(self, *words: str | Path, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in the service's folder."""
        return self.rolepack(*words, cwd=self.folder, **{**self.environ, **environ})

    def ok(self, *words: str | Path) -> str:
        """Run a command that must succeed; its output."""
        return self.rolepack.ok(*words, cwd=self.folder, **self.environ)

    def refused(self, *words: str | Path, **environ: str) -> str:
        """Run a command that must fail with a message, and no traceback."""
        return self.rolepack.refused(*words, cwd=self.folder, **{**self.environ, **environ})

    def publish(self, version: str, *words: str, **more: str) -> str:
        """Package a version and publish it."""
        self.package(version, **more)
        return self.ok("publish", "--yes", *words)

    def answer(self, number: int = 0, slot: str = "production") -> dict[str, Any] | None:
        """What the instance on a machine answers; None if nobody does."""
        port = self.port + (self.offset if slot == "staging" else 0)
        try:
            with urllib.request.urlopen(f"http://{self.machines[number].address}:{port}/", timeout=5) as answer:
                return dict(json.load(answer))
        except (OSError, http.client.HTTPException):
            return None

    def versions(self, slot: str = "production") -> list[str | None]:
        """The version that each machine serves."""
        answers = (self.answer(number, slot) for number in range(len(self.machines)))
        return [answer and answer["version"] for answer in answers]


def _free_ports(addresses: Sequence[str]) -> tuple[int, int]:
    """A port that is free at these addresses, and how far from it another one is."""
    while True:
        first = 21000 + secrets.randbelow(8000)
        offset = 100 + secrets.randbelow(800)
        if all(_is_free(address, port) for address in addresses for port in (first, first + offset)):
            return first, offset


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) != 0
