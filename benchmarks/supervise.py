"""The emulator as a supervisor, beside honcho, circus and supervisor from PyPI.

Start and stop of 50 idle processes, memory and idle CPU of the runner, exit to restarted process, CPU a line of output.

    .venv/bin/python benchmarks/supervise.py [idle] [restart] [lines]
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cloudservice import folder
from emulator.run import Run, Runtime, write

COUNT = 50
RUNS = 5
LIMIT = 60.0
DEFINITION = """<ServiceDefinition name="idle" xmlns="http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition">
  <WorkerRole name="w"><Runtime><EntryPoint>
    <ProgramEntryPoint commandLine="./work.sh" setReadyOnProcessStart="true" />
  </EntryPoint></Runtime></WorkerRole></ServiceDefinition>"""
CONFIGURATION = """<ServiceConfiguration serviceName="idle" osFamily="7"
  xmlns="http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceConfiguration">
  <Role name="w"><Instances count="{count}" /></Role></ServiceConfiguration>"""
IDLE = """#!/bin/sh
date +%s%N > {place}/starts/$$
exec sleep 1000
"""
LINES = {
    "64 KiB a write": "import os\nb = (b'x' * 99 + b'\\n') * 655\nfor _ in range(1527): os.write(1, b)",
    "a line a write": "import os\nb = b'x' * 99 + b'\\n'\nfor _ in range(1000000): os.write(1, b)",
}
PRINTED = 1_000_000


@dataclass
class Contender:
    """A runner of processes: its command line for a number of copies of work.sh, and the files it wants."""

    name: str
    argv: Callable[[Path, int], list[str]]


def ours(place: Path, count: int) -> list[str]:
    """The emulator, without the command line before it."""
    (place / "ServiceDefinition.csdef").write_text(DEFINITION)
    (place / "ServiceConfiguration.Local.cscfg").write_text(CONFIGURATION.format(count=count))
    service = folder.load(place, "Local")
    runtimes = {"w": Runtime(Path(sys.executable), None)}
    configuration = folder.configuration_file(place, "Local")
    told = Run(place, service, ("w",), {"w": place / "roles/w"}, {"w": {}}, runtimes, True, place, configuration)
    return [sys.executable, "-P", "-m", "emulator", str(write(told))]


def peers(binaries: Path) -> list[Contender]:
    """The three, from an environment of their own."""

    def honcho(place: Path, count: int) -> list[str]:
        (place / "Procfile").write_text(f"w: {place}/roles/w/work.sh\n")
        return [str(binaries / "honcho"), "-f", str(place / "Procfile"), "start", "-c", f"w={count}"]

    def circus(place: Path, count: int) -> list[str]:
        stream = f"stdout_stream.class = FileStream\nstdout_stream.filename = {place}/out.log\n"
        head = f"[circus]\nendpoint = ipc://{place}/e\npubsub_endpoint = ipc://{place}/p\ncheck_delay = 0.05\n"
        watcher = f"[watcher:w]\ncmd = {place}/roles/w/work.sh\nnumprocesses = {count}\n{stream}"
        (place / "circus.ini").write_text(head + watcher)
        return [str(binaries / "circusd"), str(place / "circus.ini")]

    def supervisor(place: Path, count: int) -> list[str]:
        head = f"[supervisord]\nnodaemon=true\nlogfile={place}/s.log\npidfile={place}/s.pid\nminfds=1024\n"
        program = f"[program:w]\ncommand={place}/roles/w/work.sh\nnumprocs={count}\nprocess_name=%(process_num)02d\n"
        logs = f"stdout_logfile={place}/out-%(process_num)02d.log\nstdout_logfile_maxbytes=20MB\nautorestart=true\n"
        (place / "supervisord.conf").write_text(head + program + logs)
        return [str(binaries / "supervisord"), "-c", str(place / "supervisord.conf")]

    return [Contender("honcho", honcho), Contender("circus", circus), Contender("supervisor", supervisor)]


@contextmanager
def running(contender: Contender, script: str, count: int) -> Iterator[tuple[Path, "subprocess.Popen[bytes]", float]]:
    """A runner with its processes, all started; gives its folder, itself, and the seconds that the start took."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        (place / "roles/w").mkdir(parents=True)
        (place / "starts").mkdir()
        program = place / "roles/w/work.sh"
        program.write_text(script.replace("{place}", str(place)))
        program.chmod(0o755)
        argv = contender.argv(place, count)
        began = time.perf_counter()
        with subprocess.Popen(argv, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as runner:
            wait(lambda: len(os.listdir(place / "starts")) >= count)
            yield place, runner, time.perf_counter() - began
            runner.send_signal(signal.SIGTERM)
            runner.wait(LIMIT)


def wait(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    end = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.002)


def below(pid: int) -> list[int]:
    """A process and its descendants that are the runner's own: not the programs it runs."""
    found = [pid]
    for one in found:
        children = Path(f"/proc/{one}/task/{one}/children").read_text().split()
        found += [int(child) for child in children if "python" in Path(f"/proc/{child}/exe").readlink().name]
    return found


def cpu(pids: list[int]) -> float:
    """Seconds of CPU that processes have used, to the nanosecond."""
    threads = [thread for pid in pids for thread in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def pss(pids: list[int]) -> float:
    """Megabytes of memory, what is shared counted in parts."""
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    return sum(int(line.split()[1]) for text in rollups for line in text.splitlines() if line.startswith("Pss:")) / 1024


def idle(contenders: list[Contender]) -> None:
    """50 processes that do nothing."""
    found: dict[str, list[tuple[float, float, float, float]]] = {one.name: [] for one in contenders}
    for _ in range(RUNS):
        for one in contenders:
            with running(one, IDLE, COUNT) as (_, runner, started):
                pids = below(runner.pid)
                time.sleep(2)  # what it still does after the start is no idling
                before = cpu(pids)
                time.sleep(5)
                share = (cpu(pids) - before) / 5 * 100
                memory = pss(pids)
                began = time.perf_counter()
                runner.send_signal(signal.SIGTERM)
                runner.wait(LIMIT)
                found[one.name].append((started, time.perf_counter() - began, memory, share))
    print(f"{COUNT} idle processes (medians of {RUNS}): start s, stop s, memory MB (PSS), idle CPU %")
    for name, rows in found.items():
        print(f"  {name:12}" + "".join(f"{statistics.median(column):10.2f}" for column in zip(*rows, strict=True)))


def restart(contenders: list[Contender]) -> None:
    """From the end of a process to the first command of the next one, once for each of 20."""
    print("kill to restarted process, ms: median, 90th percentile of 20")
    for one in contenders:
        with running(one, IDLE, 20) as (place, _, _):
            taken = []
            for name in sorted(os.listdir(place / "starts")):
                began = time.time_ns()
                before = set(os.listdir(place / "starts"))
                os.kill(int(name), signal.SIGKILL)
                try:
                    wait(lambda before=before: len(os.listdir(place / "starts")) > len(before))
                except TimeoutError:
                    break
                (new,) = set(os.listdir(place / "starts")) - before
                wait(lambda new=new: (place / "starts" / new).read_text() != "")
                taken.append((int((place / "starts" / new).read_text()) - began) / 1e6)
        told = f"{statistics.median(taken):8.1f} {sorted(taken)[int(0.9 * len(taken))]:8.1f}" if taken else "   never"
        print(f"  {one.name:12}{told}")


def lines(contenders: list[Contender]) -> None:
    """A million lines of 100 bytes from one process; CPU of the runner for each."""
    for pattern, code in LINES.items():
        print(f"{PRINTED:,} lines, {pattern}: CPU of the runner in us a line, median of {RUNS}")
        found: dict[str, list[float]] = {one.name: [] for one in contenders}
        for _ in range(RUNS):
            for one in contenders:
                script = "#!/bin/sh\n: > {place}/starts/$$\nwhile [ ! -e {place}/go ]; do sleep 0.05; done\n"
                script += f'"{sys.executable}" -c "{code}"\n: > {{place}}/done\nexec sleep 1000\n'
                with running(one, script, 1) as (place, runner, _):
                    time.sleep(2)  # what it still does after the start is no capturing
                    pids = below(runner.pid)
                    before = cpu(pids)
                    (place / "go").touch()
                    wait((place / "done").exists)
                    time.sleep(0.5)
                    found[one.name].append((cpu(pids) - before) / PRINTED * 1e6)
        for name, rows in found.items():
            print(f"  {name:12}{statistics.median(rows):8.3f}")


def main(words: list[str]) -> None:
    """Prepare the peers, then measure what is named, or everything."""
    with tempfile.TemporaryDirectory() as scratch:
        peer = Path(scratch) / "peers"
        subprocess.run([sys.executable, "-m", "venv", peer], check=True)
        subprocess.run(
            [peer / "bin/pip", "install", "-q", "honcho", "circus", "supervisor", "setuptools<81"], check=True
        )
        freeze = subprocess.run([peer / "bin/pip", "freeze"], capture_output=True, text=True, check=True).stdout
        print(f"Python {sys.version.split()[0]},", ", ".join(line for line in freeze.split() if "==" in line))
        contenders = [Contender("rolepack", ours), *peers(peer / "bin")]
        for measure in (idle, restart, lines):
            if not words or measure.__name__ in words:
                measure(contenders)


if __name__ == "__main__":
    main(sys.argv[1:])
