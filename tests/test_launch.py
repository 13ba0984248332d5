"""From an instance to its commands; nothing is started."""

from pathlib import Path

import pytest

from cloudservice import folder, location
from cloudservice.errors import ServiceError
from cloudservice.instances import role_environment
from emulator import deployment, launch
from emulator.run import Run, Runtime, take, write


def run_of(place: Path, roles: tuple[str, ...]) -> Run:
    loaded = folder.load(place, "Local")
    return Run(
        folder=place,
        service=loaded,
        roles=roles,
        sources={name: loaded.sources[name].folder for name in roles},
        sites={name: folder.site_folders(place, loaded.role(name), loaded.sources[name]) for name in roles},
        runtimes={name: Runtime(Path("/env") / name / "bin/python", Path("/kit")) for name in roles},
        detached=False,
        place=place,
        configuration=folder.configuration_file(place, "Local"),
    )


def launches(run: Run) -> dict[str, launch.Launch]:
    deployed = deployment.deploy(run)
    for instance in deployed.instances:
        deployment.lay(run, deployed, instance)
    return {
        instance.name: launch.plan(run, deployed, instance, role_environment(run.service, deployed, instance))
        for instance in deployed.instances
    }


def scripts_of_visual_studio(shop):
    """Scripts that do their work themselves, without Python files."""
    for twin in shop.rglob("bin/*.py"):
        twin.with_suffix(".ps1").write_text("Start-Process python -ArgumentList $args")
        twin.unlink()


def test_powershell_scripts_run_their_python_twins(shop):
    planned = launches(run_of(shop, ("web", "jobs")))
    worker = planned["jobs_IN_0"]
    approot = shop / ".rolepack/emulator/roles/jobs_IN_0/approot"
    assert worker.program.argv == ("/env/jobs/bin/python", "-u", f"{approot}/bin/LaunchWorker.py", "worker.py")
    assert worker.program.log.name == "LaunchWorker.ps1.log"
    (step,) = worker.steps
    assert step.command.argv == ("/env/jobs/bin/python", "-u", f"{approot}/bin/ConfigureCloudService.py")
    assert step.command.log.name == "ConfigureCloudService.ps1.log"
    (step,) = planned["web_IN_0"].steps
    assert step.command.argv[2].endswith("web_IN_0/approot/bin/ConfigureCloudService.py")


def test_a_project_of_visual_studio_needs_no_twins(shop):
    scripts_of_visual_studio(shop)
    worker = launches(run_of(shop, ("jobs",)))["jobs_IN_0"]
    assert worker.program.argv == ("/env/jobs/bin/python", "-u", "worker.py")
    assert worker.program.cwd == shop / ".rolepack/emulator/roles/jobs_IN_0/approot"
    assert worker.steps[0].command.argv[2] == "-c"


@pytest.mark.parametrize(("project", "program"), [("", "worker.py"), ("run.py", "run.py")])
def test_launch_worker_without_a_program_runs_that_of_the_project(project, program, shop):
    scripts_of_visual_studio(shop)
    path = shop / location.DEFINITION
    path.write_text(path.read_text().replace("LaunchWorker.ps1 worker.py", "LaunchWorker.ps1"))
    startup = f"<PropertyGroup><StartupFile>{project}</StartupFile></PropertyGroup>" if project else ""
    (shop / "roles/jobs/jobs.pyproj").write_text(f"<Project>{startup}</Project>")
    worker = launches(run_of(shop, ("jobs",)))["jobs_IN_0"]
    assert worker.program.argv == ("/env/jobs/bin/python", "-u", program)


def test_a_startup_task_of_a_web_role_starts_in_bin(shop):
    path = shop / location.DEFINITION
    path.write_text(
        path.read_text().replace("ps.cmd ConfigureCloudService.ps1", "cmd /c python setup.py &gt;&gt; log.txt", 1)
    )
    (shop / "roles/web/bin/setup.py").touch()
    command = launches(run_of(shop, ("web",)))["web_IN_0"].steps[0].command
    assert command.argv == ("/env/web/bin/python", "-u", "setup.py")
    assert command.cwd == shop / ".rolepack/emulator/roles/web_IN_0/approot/bin"


def test_a_script_that_nobody_knows_is_not_run(shop):
    definition = shop / location.DEFINITION
    text = definition.read_text().replace("ConfigureCloudService.ps1", "Own.ps1")
    definition.write_text(text)
    for name in ("web", "jobs"):
        (shop / "roles" / name / "bin" / "Own.ps1").touch()
    assert [one.steps[0].command for one in launches(run_of(shop, ("web", "jobs"))).values()] == [None, None]


def test_an_entry_point_that_cannot_run_here_is_refused(shop):
    definition = shop / location.DEFINITION
    definition.write_text(definition.read_text().replace(r"bin\ps.cmd LaunchWorker.ps1 worker.py", "Worker.exe /x"))
    with pytest.raises(ServiceError, match=r"role 'jobs': its entry point `Worker.exe /x` cannot run on this system"):
        launches(run_of(shop, ("jobs",)))


def test_a_web_role_without_an_http_endpoint_is_refused(shop):
    definition = shop / location.DEFINITION
    text = definition.read_text().replace('protocol="http" port', 'protocol="tcp" port')
    definition.write_text(text.replace("<Sites>", "<!--").replace("</Sites>", "-->"))
    with pytest.raises(ServiceError, match="role 'web': a web role needs an http endpoint"):
        launches(run_of(shop, ("web",)))


def test_what_changed_the_tools_interpreter_does_not_reach_the_role(shop, monkeypatch):
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "/ours")
    environ = launches(run_of(shop, ("jobs",)))["jobs_IN_0"].program.environ
    assert not {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"} & environ.keys()


def test_a_run_survives_the_way_through_its_file(shop):
    run = run_of(shop, ("web", "jobs"))
    path = write(run)
    assert take(path) == run
    assert not path.exists()


def test_old_deployments_are_forgotten(shop):
    run = run_of(shop, ("jobs",))
    made = []
    for _ in range(13):
        launches(run)
        made.append(deployment.deployment_ids(run.state / "Resources" / "Directory")[-1])
    assert len(set(made)) == 13
    deployment.forget_old(run)
    kept = deployment.deployment_ids(run.state / "Resources" / "Directory")
    assert len(kept) == 9
    assert kept == sorted(made)[4:]


def test_a_role_cannot_hide_from_its_end(shop):
    definition = shop / location.DEFINITION
    text = definition.read_text()
    at = text.rindex("<Environment>") + len("<Environment>")
    variables = '<Variable name="RoleRoot" value="x" /><Variable name="ROLEPACK_INSTANCE" value="y" />'
    definition.write_text(text[:at] + variables + text[at:])
    worker = launches(run_of(shop, ("jobs",)))["jobs_IN_0"]
    assert worker.program.environ["RoleRoot"] == "x"
    assert worker.program.environ["ROLEPACK_INSTANCE"] == worker.mark
    assert worker.mark.endswith("roles/jobs_IN_0")
