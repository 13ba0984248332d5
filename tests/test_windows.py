"""What a Windows host does with a bundle made here: a real Windows Python installs it and runs it, under wine.

No PowerShell and no IIS is here: a recorder stands in place of powershell.exe, batch files in place of dism and appcmd.
"""

import contextlib
import json
import shutil
import threading
import time
from pathlib import Path

import pytest
import windows as wine
from bundles import extract
from conftest import add_role, get, pids, until, variables_of

from cloudservice import folder
from emulator.run import Run, Runtime, write

MISSING = wine.why_not()
pytestmark = [pytest.mark.wine, pytest.mark.network, pytest.mark.skipif(bool(MISSING), reason=str(MISSING))]
SHOW = """
import json, os, sys
import markupsafe._speedups
print(json.dumps([sys.argv[1:], os.getcwd(), os.environ.get("PYTHONPATH"), sys.executable, sys.platform]))
sys.exit(9)
"""


@pytest.fixture(scope="session")
def windows(tools, tmp_path_factory):
    there = wine.Windows(tools, tmp_path_factory.mktemp("prefix"))
    yield there
    there.close()


def heaps(prefix):
    """Where the programs of an installation have their heaps; the server's is elsewhere, beyond 4 GB."""
    lines: list[str] = []
    for pid in pids():
        if f"WINEPREFIX={prefix}" in variables_of(pid):
            with contextlib.suppress(OSError):  # it has ended just now
                lines += Path(f"/proc/{pid}/maps").read_text().splitlines()
    starts = [int(line.partition("-")[0], 16) for line in lines if line.endswith("[heap]")]
    return [start for start in starts if start < 1 << 32]


@pytest.mark.skipif(wine.wine() == ("wine",), reason="this process may not say how memory is laid out")
def test_no_process_has_its_heap_where_wine_needs_a_page(windows, tmp_path):
    waits = "import sys; print(1, flush=True); sys.stdin.read()"
    starts = (
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {waits!r}], stdin=subprocess.PIPE).wait()"
    )
    with windows.start(windows.interpreter, "-c", starts, cwd=tmp_path) as process:
        assert process.stdout.read(1) == "1"
        found = heaps(windows.prefix)
        process.kill()
    assert len(found) > 2
    assert max(found) < 0x7FFE0000 - (1 << 24)


@pytest.fixture
def packaged(shop, rolepack):
    """A web role and a worker role whose packages have C extensions, in a bundle for Windows and Python 3.11."""
    (shop / "roles/jobs/requirements.txt").write_text("markupsafe==3.0.2\n")
    (shop / "roles/jobs/show.py").write_text(SHOW)
    rolepack.ok("package", "--python", "3.11", cwd=shop)
    return shop / "dist" / "shop.cspkg"


@pytest.fixture
def root(windows, tmp_path):
    """The root of a role, which is drive E: as in Azure."""
    place = tmp_path / "root"
    place.mkdir()
    windows.mount(place)
    return place


@pytest.fixture
def programs(tmp_path):
    """Batch files that note how they are called, in place of programs that wine has not."""
    place = tmp_path / "programs"
    place.mkdir()
    (place / "dism.cmd").write_bytes(b'@echo dism %* >>"%~dp0calls.txt"\r\n@exit /b 3010\r\n')
    (place / "appcmd.cmd").write_bytes(b'@echo appcmd %* >>"%~dp0calls.txt"\r\n@exit /b 0\r\n')
    return place


def configure(windows, root, programs, **environ):
    """Run ConfigureCloudService.py as the startup task does."""
    own = {"RoleRoot": "E:", "RoleInstanceID": "web_IN_0", "EMULATED": "false"}
    own |= {"appcmd": windows.path(programs / "appcmd.cmd")}
    path = f"{windows.environ['WINEPATH']};{windows.path(programs)}"
    script = r"E:\approot\bin\ConfigureCloudService.py"
    return windows.python("-u", script, cwd=root / "approot" / "bin", **{**own, "WINEPATH": path, **environ})


def test_a_web_role_is_installed_offline_and_configured(windows, packaged, root, programs):
    extract(packaged, "web", root)
    done = configure(windows, root, programs)
    assert done.returncode == 0, done.stdout
    python = r"E:\approot\.rolepack\env\Scripts\python.exe"
    bridge = r"E:\approot\.rolepack\env\Lib\site-packages\wfastcgi.py"
    assert f'scriptProcessor="{python}|{bridge}"' in (root / "approot/web.config").read_text()
    assert "Windows wants to be restarted for these features" in done.stdout
    calls = (programs / "calls.txt").read_text().splitlines()
    assert calls[0].startswith("dism /Online /English /NoRestart /Enable-Feature /All /FeatureName:IIS-WebServerRole ")
    assert calls[1].startswith("appcmd unlock config /section:system.webServer/handlers")
    assert calls[2].startswith("appcmd list config /section:system.webServer/fastCgi")
    assert f"[fullPath='{python}',arguments='{bridge}',signalBeforeTerminateSeconds='30']" in calls[3]
    before = (root / "approot/web.config").read_bytes()
    again = configure(windows, root, programs)
    assert again.returncode == 0, again.stdout
    assert "the packages are installed already" in again.stdout
    assert (root / "approot/web.config").read_bytes() == before
    tests = windows.run(python, "-m", "unittest", "-v", cwd=root / "approot")
    assert tests.returncode == 0, tests.stdout
    assert "test_the_first_page_names_the_instance" in tests.stdout


def test_a_worker_is_installed_offline_and_its_program_runs(windows, packaged, root, programs):
    extract(packaged, "jobs", root)
    done = configure(windows, root, programs)
    assert done.returncode == 0, done.stdout
    python = r"E:\approot\.rolepack\env\Scripts\python.exe"
    assert (root / "approot/.rolepack/python.txt").read_text() == python
    words = ["show.py", "two words", 'a "quote"', "back\\slash\\", ""]
    path = r"lib;%RoleRoot%\approot\more"
    script = r"E:\approot\bin\LaunchWorker.py"
    ran = windows.run(python, "-u", script, *words, cwd=root / "approot", RoleRoot="E:", PYTHONPATH=path)
    assert ran.returncode == 9, ran.stdout
    arguments, cwd, found, running, system = json.loads(ran.stdout)
    assert arguments == words[1:]
    assert (cwd.rstrip("\\"), system) == (r"E:\approot", "win32")
    assert found.split(";") == [r"E:\approot\lib", r"E:\approot\more"]
    assert running == python


def test_a_wheel_removed_from_the_bundle_fails_the_task_with_its_name(windows, packaged, root, programs):
    extract(packaged, "jobs", root)
    next((root / "approot/wheelhouse").glob("MarkupSafe-*.whl")).unlink()
    done = configure(windows, root, programs)
    assert done.returncode == 1
    assert "markupsafe==3.0.2" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize("place", ["approot", "an approot (1)"])
def test_ps_cmd_runs_powershell_in_its_folder_and_keeps_all_it_prints(windows, shop, tmp_path, place):
    approot, store = tmp_path / place, tmp_path / "a store"
    shutil.copytree(shop / "roles/jobs", approot)
    environ = {"DiagnosticStore": windows.path(store), "RECORDER_CODE": "7"}
    words = ["LaunchWorker.ps1", "worker.py", "--queue", "two words"]
    line = " ".join(f'"{word}"' if " " in word else word for word in words)
    for _ in range(2):
        done = windows.run("cmd", "/c", r"bin\ps.cmd", *words, cwd=approot, **environ)
        assert done.returncode == 7
        assert not done.stdout.strip()
    logged = (store / "LogFiles" / "LaunchWorker.ps1.log").read_text().splitlines()
    powershell = r'"C:\windows\System32\WindowsPowerShell\v1.0\powershell.exe"'
    called = f"out: {powershell} -NoProfile -NonInteractive -ExecutionPolicy Bypass -File {line}"
    there = f"err: {windows.path(approot / 'bin')}"
    assert [text.rstrip() for text in logged] == 2 * [called, there, "out: last"]


def test_ps_cmd_without_a_script_says_so(windows, shop):
    done = windows.run("cmd", "/c", windows.path(shop / "roles/jobs/bin/ps.cmd"), cwd=shop)
    assert done.returncode == 2
    assert "no script is named" in done.stdout


def test_every_role_of_a_new_service_has_what_the_tasks_in_its_definition_name(windows, shop, tmp_path):
    add_role(shop, "site", "web", "wsgi")
    store = tmp_path / "store"
    for role, line in (("site", "ps.cmd ConfigureCloudService.ps1"), ("jobs", r"bin\ps.cmd ConfigureCloudService.ps1")):
        start = shop / "roles" / role / ("bin" if role == "site" else "")
        done = windows.run("cmd", "/c", line, cwd=Path(start), DiagnosticStore=windows.path(store))
        assert done.returncode == 0
    assert len((store / "LogFiles/ConfigureCloudService.ps1.log").read_text().splitlines()) == 6


JOB = """
import os, subprocess, sys, time
from cloudservice import job

if {encloses}:
    job.enclose()
beat = "import time\\nfor _ in range(60):\\n  open('beat', 'a').write('x')\\n  time.sleep(0.05)"
nothing = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
subprocess.Popen([sys.executable, "-c", beat], **nothing)
while not os.path.exists("beat"):
    time.sleep(0.02)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("encloses", [True, False])
def test_what_the_emulator_has_started_ends_with_it(encloses, windows, tmp_path):
    """On Windows a job object takes the place of the guard; without one a child goes on."""
    path = windows.path(Path(__file__).parent.parent)
    done = windows.python("-c", JOB.format(encloses=encloses), cwd=tmp_path, PYTHONPATH=path)
    assert done.returncode == 9, done.stdout
    time.sleep(0 if encloses else 3)  # all beats, for who could have them
    beats = (tmp_path / "beat").stat().st_size
    assert (beats < 60) is encloses


BEATS = """
import os, subprocess, sys, time
beats = os.path.join(os.environ["DiagnosticStore"], f"beats-{os.getpid()}")
beat = f"import time\\nwhile True:\\n    open({beats!r}, 'a').write('x')\\n    time.sleep(0.02)"
subprocess.Popen([sys.executable, "-c", beat])
time.sleep(600)
"""
ASK = """
import pathlib
from emulator import client, wishes
client.{}(pathlib.Path(r"{}"), {})
"""


def of_windows(value, windows):
    """A value for the emulator with every path as Windows has it."""
    if isinstance(value, dict):
        return {key: of_windows(one, windows) for key, one in value.items()}
    if isinstance(value, list):
        return [of_windows(one, windows) for one in value]
    return windows.path(value) if isinstance(value, str) and value.startswith("/") else value


@pytest.fixture
def emulator(windows, service, tools, tmp_path):
    """The emulator itself on Windows, with a site and a worker that has a child; and how it is asked for more."""
    place = service("pair")
    (place / "roles/jobs/worker.py").write_text(BEATS)
    loaded = folder.load(place, "Local")
    python, sources = tools / "python" / "python.exe", loaded.sources
    told = Run(
        folder=place,
        service=loaded,
        roles=("web", "jobs"),
        sources={name: sources[name].folder for name in sources},
        sites={"web": {"Web": sources["web"].folder}, "jobs": {}},
        runtimes={"web": Runtime(python, None), "jobs": Runtime(python, None)},
        detached=False,
        place=place,
        configuration=folder.configuration_file(place, "Local"),
        grace=10,
    )
    path = write(told)
    path.write_text(json.dumps(of_windows(json.loads(path.read_text()), windows)))
    code = windows.path(Path(__file__).parent.parent)
    with windows.start(
        windows.interpreter, "-P", "-m", "emulator", windows.path(path), cwd=place, PYTHONPATH=code
    ) as process:
        lines: list[str] = []
        threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True).start()

        def ask(what, *given):
            words = ASK.format(what, windows.path(place), ", ".join(given))
            return windows.start(windows.interpreter, "-c", words, cwd=tmp_path, PYTHONPATH=code)

        yield place, lines, process, ask
        process.kill()


def test_the_emulator_runs_restarts_and_ends_a_service_and_what_that_has_started(emulator):
    place, lines, process, ask = emulator
    until(lambda: "every instance is Ready\n" in lines, 120)
    line = until(lambda: next((line for line in lines if line.startswith("web/Endpoint1 is at ")), None))
    assert json.loads(get(line.split()[-1]))["instance"].startswith("web_IN_")
    (first,) = until(lambda: list(place.rglob("beats-*")))
    with ask("change", 'wishes.to_message(wishes.Restart(("web",), ("jobs_IN_0",)))', "print") as client:
        said, _ = client.communicate(timeout=120)
        assert client.returncode == 0, said
    assert get(line.split()[-1])
    second = until(lambda: next((path for path in place.rglob("beats-*") if path != first), None))
    until(lambda: second.stat().st_size > 0)
    before, then = first.stat().st_size, second.stat().st_size
    until(lambda: second.stat().st_size > then + 10)
    assert first.stat().st_size == before, "a child of the instance that was restarted lives on"
    with ask("stop") as client:
        assert process.wait(60) == 0
        client.kill()  # wine does not always let it go
    until(lambda: "jobs_IN_0 > Stopped\n" in lines)
    assert not [line for line in lines if "Traceback" in line]
