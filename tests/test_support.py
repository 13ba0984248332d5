"""Support files for a role that is there: what it lacks is added, what it has stays."""

import subprocess
from datetime import date

import pytest
import tree_sitter_pwsh
from conftest import add_role
from tree_sitter import Language, Parser

from cloudservice import definition, folder, location
from cloudservice.errors import ServiceError
from cloudservice.files import shown
from packager import blueprint, support
from packager.scaffold import Templates

SPACE = "http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition"
DEFINITION = f"""<?xml version="1.0"?>
<!-- kept -->
<ServiceDefinition name="old" xmlns="{SPACE}">
\t<WebRole name="site">
\t\t<Endpoints><InputEndpoint name="Http" protocol="http" port="80" /></Endpoints>
\t\t<Startup>
\t\t\t<!-- kept too -->
\t\t\t<Task commandLine="mine.cmd /x" />
\t\t</Startup>
\t</WebRole>
\t<WorkerRole name="jobs" />
</ServiceDefinition>
"""
CONFIGURATION = f"""<ServiceConfiguration serviceName="old" osFamily="7"
    xmlns="{SPACE.replace("Definition", "Configuration")}">
<Role name="site"><Instances count="1" /></Role><Role name="jobs"><Instances count="1" /></Role>
</ServiceConfiguration>"""


@pytest.fixture
def old(tmp_path):
    """A service whose roles have programs and nothing else."""
    place = tmp_path / "old"
    for name in ("site", "jobs"):
        (place / "roles" / name).mkdir(parents=True)
    (place / location.DEFINITION).write_text(DEFINITION)
    (place / "ServiceConfiguration.Local.cscfg").write_text(CONFIGURATION)
    (place / "roles/site/app.py").write_text("def wsgi_app(environ, start_response): ...\n")
    (place / "roles/site/bin").mkdir()
    (place / "roles/site/bin/mine.cmd").write_text("@exit /b 0\r\n")
    (place / "roles/jobs/main.py").write_text("print('hello')\n")
    return place


def add(place, role):
    planned = support.plan(place, role, Templates())
    blueprint.write(planned.blueprint)
    return planned


def everything(place):
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_a_web_role_gets_its_files_and_its_task_and_keeps_its_own(old):
    planned = add(old, "site")
    assert {path.name for path in planned.blueprint.paths} == {
        *("ps.cmd", "ConfigureCloudService.ps1", "ConfigureCloudService.py", "readme.html", "web.config"),
        location.DEFINITION,
    }
    assert planned.left == ("the startup task `mine.cmd /x` stays",)
    text = (old / location.DEFINITION).read_text()
    kept = text.replace("</Startup>", "", 1).partition('\t\t\t<Task commandLine="ps.cmd')[0]
    assert DEFINITION.startswith(kept)
    role = definition.load(old / location.DEFINITION).role("site")
    assert [task.command_line for task in role.tasks] == ["mine.cmd /x", "ps.cmd ConfigureCloudService.ps1"]
    assert [store.name for store in role.local_storage] == ["DiagnosticStore"]


def test_a_worker_gets_an_entry_point_for_the_program_that_it_has(old):
    add(old, "jobs")
    role = definition.load(old / location.DEFINITION).role("jobs")
    assert role.entry_point == r"bin\ps.cmd LaunchWorker.ps1 main.py"
    assert [variable.name for variable in role.environment] == ["EMULATED"]


def test_a_service_with_support_files_has_no_fault_and_a_second_time_changes_nothing(old):
    for role in ("site", "jobs"):
        add(old, role)
    done = folder.check(old, date(2026, 11, 21))
    assert not done.errors
    before = everything(old)
    for role in ("site", "jobs"):
        again = add(old, role)
        assert not again.blueprint.paths
        assert not [line for line in again.left if "differs" in line]
        assert f"roles/{role}/bin/ps.cmd is there already" in "\n".join(again.left)
    assert everything(old) == before


def test_a_role_that_was_just_made_lacks_nothing(shop):
    for role in ("web", "jobs"):
        planned = support.plan(shop, role, Templates())
        assert not planned.blueprint.paths
        assert not planned.remarks


def test_a_file_of_the_users_stays_and_is_named(old):
    (old / "roles/site/bin/ps.cmd").write_text("mine")
    (old / "roles/site/bin/ConfigureCloudService.ps1").write_text("pip install -r requirements.txt")
    (old / "roles/site/Web.Config").write_text("<configuration />")
    planned = add(old, "site")
    assert sorted(line.rpartition("/")[2] for line in planned.left if "stays" in line and "/x" not in line) == [
        "ConfigureCloudService.ps1 differs from rolepack's, and stays",
        "Web.Config differs from rolepack's, and stays",
        "ps.cmd differs from rolepack's, and stays",
    ]
    assert [path.name for path in planned.blueprint.paths] == ["readme.html", location.DEFINITION]
    assert "is not rolepack's, so a host installs packages as it says" in planned.remarks[0]


def test_an_entry_point_of_the_users_stays(old):
    path = old / location.DEFINITION
    entry = '<EntryPoint><ProgramEntryPoint commandLine="main.exe" setReadyOnProcessStart="true" /></EntryPoint>'
    text = path.read_text().replace(
        '<WorkerRole name="jobs" />', f"<WorkerRole name='jobs'><Runtime>{entry}</Runtime></WorkerRole>"
    )
    path.write_text(text)
    assert "the entry point `main.exe` stays" in add(old, "jobs").left
    assert definition.load(path).role("jobs").entry_point == "main.exe"


def test_a_django_project_gets_a_web_config_that_names_it(old):
    (old / "roles/site/manage.py").touch()
    (old / "roles/site/shop").mkdir()
    for name in ("settings.py", "wsgi.py"):
        (old / "roles/site/shop" / name).touch()
    add(old, "site")
    config = (old / "roles/site/web.config").read_text()
    assert 'key="WSGI_HANDLER" value="shop.wsgi.application"' in config
    assert 'key="DJANGO_SETTINGS_MODULE" value="shop.settings"' in config


def test_a_project_that_lists_its_files_gets_the_new_ones(old):
    project = old / "roles/jobs/jobs.pyproj"
    project.write_text('<Project>\n  <ItemGroup>\n    <Compile Include="main.py" />\n  </ItemGroup>\n</Project>\n')
    planned = add(old, "jobs")
    assert project in planned.blueprint.paths
    assert '<Content Include="bin\\LaunchWorker.py" />' in project.read_text()
    before = everything(old)
    assert not add(old, "jobs").blueprint.paths
    assert everything(old) == before


@pytest.mark.parametrize(
    ("change", "role", "told"),
    [
        (lambda _: None, "nobody", "there is no role 'nobody'. Choose from site, jobs"),
        (
            lambda place: (place / "main.py").unlink(),
            "jobs",
            "it cannot be told what the worker runs",
        ),
        (lambda place: (place / "main.py").rename(place / "x.cs"), "jobs", "it holds a role in .NET"),
        (lambda place: place.rename(place.with_name("elsewhere")), "jobs", "roles/jobs: it is not there. Create it"),
    ],
)
def test_what_cannot_have_support_files_is_told_and_nothing_written(old, change, role, told):
    change(old / "roles/jobs")
    before = everything(old)
    with pytest.raises(ServiceError, match=told):
        add(old, role)
    assert everything(old) == before


def test_a_role_of_a_far_folder_is_left_alone(old, tmp_path_factory):
    far = tmp_path_factory.mktemp("far")
    (far / "main.py").touch()
    (old / "roles/jobs/main.py").unlink()
    (old / "roles/jobs").rmdir()
    (old / "roles/jobs").symlink_to(far)
    with pytest.raises(ServiceError, match="it is not in or beside the service"):
        add(old, "jobs")
    assert [path.name for path in far.iterdir()] == ["main.py"]


def test_a_bin_that_leads_elsewhere_is_left_alone(old, tmp_path_factory):
    far = tmp_path_factory.mktemp("far")
    (old / "roles/jobs/bin").symlink_to(far)
    planned = add(old, "jobs")
    assert not list(far.iterdir())
    assert "roles/jobs/bin/ps.cmd is behind a link that leads elsewhere, and is left alone" in "\n".join(planned.left)


def test_the_command_says_what_it_did_and_what_it_left(old, rolepack):
    said = rolepack.ok("add-support-files", "site", cwd=old)
    assert "  the startup task `mine.cmd /x` stays\n" in said
    assert "  wrote roles/site/bin/ps.cmd\n" in said
    assert "Role 'site' has its support files. Next: rolepack check" in said
    assert "Nothing was written: role 'site' has" in rolepack.ok("add-support-files", "site", cwd=old)


def parser() -> Parser:
    return Parser(Language(tree_sitter_pwsh.language()))


@pytest.mark.parametrize("script", ["ConfigureCloudService.ps1", "LaunchWorker.ps1"])
def test_powershell_scripts_parse(shop, script):
    content = (shop / "roles/jobs/bin" / script).read_bytes()
    assert not parser().parse(content).root_node.has_error
    for end in (b"}", b")", b"'"):
        before, _, after = content.rpartition(end)
        assert parser().parse(before + after).root_node.has_error


def test_a_changed_script_is_named_and_its_line_ends_and_python_are_not_a_change(shop):
    found = folder.load(shop, "Local")
    jobs = found.role("jobs"), found.sources["jobs"]
    script = shop / "roles/jobs/bin/ConfigureCloudService.ps1"
    script.write_bytes(script.read_bytes().replace(b"\r\n", b"\n").replace(b"'3.12.10'", b"'3.11.9'"))
    assert support.changed_scripts(*jobs, Templates()) == []
    script.write_text(script.read_text() + "Copy-Item a b\n")
    launch = shop / "roles/jobs/bin/LaunchWorker.ps1"
    launch.write_text(launch.read_text().replace("-u ", "-u -X dev "))
    (shop / "roles/jobs/bin/LaunchWorker.py").write_text("# customised where it should be\n")
    assert support.changed_scripts(*jobs, Templates()) == [script, launch]


def test_the_emulator_names_a_changed_script(rolepack, service):
    place = service("pair")
    add_role(place, "more", "worker")
    with (place / "roles/more/bin/LaunchWorker.ps1").open("a") as script:
        script.write("Start-Sleep 1\n")
    said = rolepack.ok("emulate", "--detach", "--role", "more", cwd=place)
    wrong = "more: roles/more/bin/LaunchWorker.ps1 was changed, and what was changed in it does not run here"
    assert said.count(f"{wrong}: put that into LaunchWorker.py") == 1
    assert "ps.cmd was" not in said


def test_support_files_are_kept_by_git(shop):
    subprocess.run(["git", "init", "--quiet"], cwd=shop, check=True)
    subprocess.run(["git", "add", "."], cwd=shop, check=True)
    kept = subprocess.run(["git", "ls-files"], cwd=shop, capture_output=True, text=True, check=True).stdout
    assert "roles/jobs/bin/ps.cmd" in kept


def test_commands_that_keep_the_files_from_their_work_are_told(old):
    path = old / location.DEFINITION
    entry = '<EntryPoint><ProgramEntryPoint commandLine="python main.py" setReadyOnProcessStart="true" /></EntryPoint>'
    task = '<Startup><Task commandLine="bin\\ps.cmd ConfigureCloudService.ps1" /></Startup>'
    whole = f"<WorkerRole name='jobs'>{task}<Runtime>{entry}</Runtime></WorkerRole>"
    path.write_text(path.read_text().replace('<WorkerRole name="jobs" />', whole))
    remarks = "\n".join(add(old, "jobs").remarks)
    assert '`bin\\ps.cmd ConfigureCloudService.ps1` needs executionContext="elevated" to prepare a host' in remarks
    assert "the entry point `python main.py` does not go through LaunchWorker.ps1" in remarks


@pytest.mark.parametrize(
    ("startup", "program"),
    [("main.py", "main.py"), ("src\\my worker.py", '"src\\my worker.py"'), ("SRC/My Worker.py", '"src\\my worker.py"')],
)
def test_the_program_that_a_project_starts_is_the_workers(old, startup, program):
    (old / "roles/jobs/src").mkdir()
    (old / "roles/jobs/src/my worker.py").touch()
    project = f"<Project><PropertyGroup><StartupFile>{startup}</StartupFile></PropertyGroup></Project>"
    (old / "roles/jobs/jobs.pyproj").write_text(project)
    add(old, "jobs")
    assert (
        definition.load(old / location.DEFINITION).role("jobs").entry_point == f"bin\\ps.cmd LaunchWorker.ps1 {program}"
    )
    assert not folder.check(old, date(2026, 11, 21)).errors


def test_a_program_that_a_project_starts_and_that_is_not_there_is_told(old):
    project = "<Project><PropertyGroup><StartupFile>gone.py</StartupFile></PropertyGroup></Project>"
    (old / "roles/jobs/jobs.pyproj").write_text(project)
    with pytest.raises(ServiceError, match=r"its project starts gone.py, which is not there. Call it worker.py"):
        add(old, "jobs")


@pytest.mark.parametrize(
    ("files", "handler"),
    [
        ({"app.py": "from flask import Flask\napp: object = Flask(__name__)\n"}, "app.app"),
        ({"wsgi.py": "def application(environ, start): ...\n"}, "wsgi.application"),
        ({"app.py": "broken(", "main.py": "from shop import application\n"}, "main.application"),
    ],
)
def test_the_application_of_a_role_is_found(old, files, handler):
    (old / "roles/site/app.py").unlink()
    for name, text in files.items():
        (old / "roles/site" / name).write_text(text)
    assert not add(old, "site").remarks
    assert f'value="{handler}"' in (old / "roles/site/web.config").read_text()


def test_an_application_that_is_not_found_is_told(old):
    (old / "roles/site/app.py").write_text("x = 1\n")
    (told,) = add(old, "site").remarks
    assert (
        told
        == f"no application was found, so {shown(old / 'roles/site/web.config')} is to name app.wsgi_app: correct that"
    )


@pytest.mark.parametrize("framework", ["django", "bottle", "wsgi"])
def test_a_new_role_of_any_framework_lacks_nothing_and_gets_back_what_is_lost(shop, framework):
    add_role(shop, "site", "web", framework)
    assert not support.plan(shop, "site", Templates()).blueprint.paths
    script = shop / "roles/site/bin/ConfigureCloudService.py"
    content = script.read_bytes()
    script.unlink()
    add(shop, "site")
    assert script.read_bytes() == content
    assert (b"collectstatic" in content) == (framework == "django")
