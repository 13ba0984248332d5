"""A double of schtasks.exe: tasks by their XML, run apart from who asks for it.

Of the triggers there is that of the boot; RestartOnFailure is not done.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import machine

TASKS = machine.FOLDER / "tasks"
SPACE = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}
MISSING = "ERROR: The system cannot find the file specified."


class Task:
    """One task, whether it is there or not."""

    def __init__(self, name: str) -> None:
        self.name = name.strip("\\")
        slug = self.name.replace("\\", "#")
        self.path = TASKS / f"{slug}.xml"
        self.mark = f"task-{slug}"

    def says(self, path: str) -> str:
        """What an element of the XML says."""
        return (ElementTree.fromstring(self.path.read_bytes()).findtext(path, "", SPACE) or "").strip()

    @property
    def starts_at_boot(self) -> bool:
        """Whether the machine runs it when it starts."""
        return ElementTree.fromstring(self.path.read_bytes()).find("t:Triggers/t:BootTrigger", SPACE) is not None

    @property
    def status(self) -> str:
        """What a listing says of it."""
        return "Running" if machine.running(self.mark) else "Ready"

    def run(self) -> None:
        """Run it, as it says itself what to do if it runs already."""
        policy = self.says("t:Settings/t:MultipleInstancesPolicy") or "IgnoreNew"
        if machine.running(self.mark) and policy in {"IgnoreNew", "Queue"}:
            return
        if policy == "StopExisting":
            machine.end(self.mark)
        command = os.path.expandvars(self.says("t:Actions/t:Exec/t:Command")).strip('"')
        arguments = os.path.expandvars(self.says("t:Actions/t:Exec/t:Arguments"))
        directory = os.path.expandvars(self.says("t:Actions/t:Exec/t:WorkingDirectory"))
        machine.start(self.mark, f'"{command}" {arguments}'.strip(), directory)


def tasks() -> Iterator[Task]:
    """All tasks."""
    for path in sorted(TASKS.glob("*.xml")):
        yield Task(path.stem.replace("#", "\\"))


def boot() -> None:
    """Run the tasks that the machine runs when it starts."""
    for task in tasks():
        if task.starts_at_boot:
            task.run()


def main(words: list[str]) -> int:
    """Do what the words ask for."""
    options = parse(words)
    verb = next((verb for verb in VERBS if verb in options), None)
    if verb is None or (verb != "query" and not options.get("tn")):
        return fail("ERROR: Invalid syntax.")
    with machine.locked():
        return VERBS[verb](options)


def parse(words: list[str]) -> dict[str, str]:
    """The options, by their names, with the word that follows each."""
    options = {}
    for word, after in zip(words, [*words[1:], "/"], strict=True):
        if word.startswith("/"):
            options[word[1:].lower()] = "" if after.startswith("/") else after
    return options


def create(options: dict[str, str]) -> int:
    """Make a task of an XML file."""
    task, source = Task(options["tn"]), Path(options.get("xml", ""))
    if not source.is_file():
        return fail(MISSING)
    content = source.read_bytes()
    try:
        command = ElementTree.fromstring(content).findtext("t:Actions/t:Exec/t:Command", None, SPACE)
    except (ElementTree.ParseError, ValueError, LookupError):
        command = None
    if not command:
        return fail("ERROR: The task XML is malformed.")
    if task.path.exists() and "f" not in options:
        return fail(f'ERROR: The task "{task.name}" exists already.')
    task.path.write_bytes(content)
    return succeed(task, "created")


def run(options: dict[str, str]) -> int:
    """Run a task now."""
    task = Task(options["tn"])
    if not task.path.exists():
        return fail(MISSING)
    task.run()
    return succeed(task, "run")


def end(options: dict[str, str]) -> int:
    """End what a task runs."""
    task = Task(options["tn"])
    if not task.path.exists():
        return fail(MISSING)
    machine.end(task.mark)
    return succeed(task, "terminated")


def delete(options: dict[str, str]) -> int:
    """Forget a task; what it runs goes on."""
    task = Task(options["tn"])
    if not task.path.exists():
        return fail(MISSING)
    if "f" not in options:
        return fail("ERROR: /f is missing, and nobody is here to be asked.")
    task.path.unlink()
    return succeed(task, "deleted")


def query(options: dict[str, str]) -> int:
    """List one task or all; /xml shows what it was made of."""
    found = list(tasks())
    if "tn" in options:
        found = [task for task in found if task.name.lower() == options["tn"].strip("\\").lower()]
        if not found:
            return fail(MISSING)
    for task in found:
        if "xml" in options:
            sys.stdout.buffer.write(task.path.read_bytes())
        else:
            print(f'"\\{task.name}","N/A","{task.status}"')
    return 0


def succeed(task: Task, done: str) -> int:
    """Say that it is done."""
    print(f'SUCCESS: The scheduled task "{task.name}" has successfully been {done}.')
    return 0


def fail(said: str) -> int:
    """Say why it is not done."""
    print(said, file=sys.stderr)
    return 1


VERBS = {"create": create, "run": run, "end": end, "delete": delete, "query": query}
