"""Every rule of a service, by name: each has a service that is right and a small change that breaks it."""

import shutil
import tomllib
from datetime import date
from pathlib import Path

import pytest
from conftest import SERVICES

from cloudservice import folder, location, rules

TODAY = date(2026, 11, 21)
LISTS = sorted(SERVICES.glob("**/faults.toml"))
FAULTS = [
    pytest.param(path.parent, fault, id=f"{fault['rule']}-{path.parent.name}-{number}")
    for path in LISTS
    for number, fault in enumerate(tomllib.loads(path.read_text(encoding="utf-8"))["fault"])
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Copies the example that a list of faults lies in, makes it the current folder and returns it."""

    def copied(example: Path) -> Path:
        top = SERVICES / example.relative_to(SERVICES).parts[0]
        shutil.copytree(top, tmp_path / top.name)
        there = tmp_path / example.relative_to(SERVICES)
        monkeypatch.chdir(there)
        return there

    return copied


def told(place: Path, rule: str | None = None) -> list[str]:
    """What `check` says: the errors, and the warnings of one rule."""
    faults = folder.check(place, TODAY).faults
    shown = [str(fault) for fault in faults if fault.level == "error" or fault.rule == rule]
    return [text.replace(str(place), "<folder>").replace(str(place.parents[1]), "<above>") for text in shown]


def break_it(place: Path, edit: dict) -> None:
    path = place / edit["file"]
    if "gone" in edit:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    elif "folder" in edit:
        path.unlink()
        path.mkdir()
    elif "grown" in edit:
        path.write_bytes(path.read_bytes() + b" " * edit["grown"])
    elif "copy" in edit:
        shutil.copy(place / edit["copy"], path)
    else:
        text = path.read_text(encoding="utf-8")
        assert edit["old"] in text
        new = text.replace(edit["old"], edit["new"], -1 if edit["old"] else 1)
        path.write_bytes(new.encode().replace(b"BYTE-E9", b"\xe9"))


@pytest.mark.parametrize("example", [path.parent for path in LISTS], ids=lambda path: path.name)
def test_each_example_is_right(example, place):
    there = place(example)
    assert told(there) == []
    assert folder.check(there, TODAY).services


@pytest.mark.parametrize(("example", "fault"), FAULTS)
def test_each_fault_is_told(example, fault, place):
    there = place(example)
    before = told(there, fault["rule"])
    for edit in fault["edits"]:
        break_it(there, edit)
    broken = folder.check(there, TODAY)
    assert [text for text in told(there, fault["rule"]) if text not in before] == fault["told"]
    assert fault["rule"] in {one.rule for one in broken.faults}
    assert bool(broken.services) == (not broken.errors)


def test_every_rule_has_an_example():
    known = {parameter.values[1]["rule"] for parameter in FAULTS}
    apart = {"too-many-roles", "too-many-faults", "retired-platform"}  # below: no small change breaks them
    assert known == rules.RULES.keys() - apart


def test_every_rule_is_documented():
    table = [f"| {name} | {rule.level} | {rule.about} |" for name, rule in rules.RULES.items()]
    text = (SERVICES.parent.parent / "docs" / "check.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("| ")][1:] == table


def test_a_service_has_25_roles(place):
    there = place(SERVICES / "rules-languages")
    assembly = '<NetFxEntryPoint assemblyName="x" targetFrameworkVersion="v4.0" />'
    role = f'<WorkerRole name="r{{}}"><Runtime><EntryPoint>{assembly}</EntryPoint></Runtime></WorkerRole>'
    path = there / location.DEFINITION
    text = path.read_text(encoding="utf-8")
    fits = "".join(role.format(number) for number in range(19))
    for roles, faults in ((fits, []), (fits + role.format(19), ["too-many-roles"])):
        path.write_text(text.replace("</ServiceDefinition>", f"{roles}</ServiceDefinition>"), encoding="utf-8")
        errors = folder.check(there, TODAY).errors
        assert [fault.rule for fault in errors if fault.rule != "role-missing"] == faults


def test_a_service_has_25_endpoints(place):
    there = place(SERVICES / "rules-web")
    endpoint = '<InputEndpoint name="E{0}" protocol="tcp" port="{0}" />'
    path = there / location.DEFINITION
    text = path.read_text(encoding="utf-8")
    for count, faults in ((22, []), (23, ["too-many-endpoints"])):
        more = "".join(endpoint.format(1000 + number) for number in range(count))
        path.write_text(text.replace("</Endpoints>", f"{more}</Endpoints>"), encoding="utf-8")
        assert [fault.rule for fault in folder.check(there, TODAY).errors] == faults


@pytest.mark.parametrize("padding", [0, 200_000], ids=["small", "large"])
def test_a_file_that_is_nothing_like_a_definition_is_told_as_a_whole(place, padding):
    there = place(SERVICES / "rules-worker")
    path = there / location.DEFINITION
    text = path.read_text(encoding="utf-8").replace('<Setting name="Empty" />', '<Setting colour="red" />' * 600)
    path.write_text(text + " " * padding, encoding="utf-8")
    errors = [fault for fault in folder.check(there, TODAY).errors if fault.where == location.DEFINITION]
    assert [str(fault) for fault in errors if fault.rule == "too-many-faults"] == [
        "ServiceDefinition.csdef:2: more than 500 things in it are wrong. "
        "Mend what is told, or begin again from a file that is right."
    ]
    assert len(errors) <= 501


@pytest.mark.parametrize(("today", "said"), [(date(2026, 11, 21), "ends on"), (date(2027, 3, 31), "ended on")])
def test_the_platform_ends(place, today, said):
    warnings = folder.check(place(SERVICES / "rules-web"), today).warnings
    assert [str(one) for one in warnings if one.rule == "retired-platform"] == [
        f"ServiceDefinition.csdef:2: Azure's Cloud Services (extended support) {said} 31 March 2027. "
        "Plan where the service goes; rolepack runs and packages it as it is."
    ]


@pytest.mark.parametrize(
    ("today", "told"),
    [(date(2027, 1, 11), []), (date(2027, 1, 12), ["osFamily 5 is Windows Server 2016, which ended"])],
)
def test_an_operating_system_has_ended_on_its_last_day(place, today, told):
    there = place(SERVICES / "rules-web")
    path = there / "ServiceConfiguration.Local.cscfg"
    path.write_text(path.read_text(encoding="utf-8").replace('osFamily="7"', 'osFamily="5"'), encoding="utf-8")
    wrong = [fault.wrong for fault in folder.check(there, today).warnings if fault.rule == "retired-os"]
    assert [text.partition(" on ")[0] for text in wrong] == told


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("runtime.txt", "python-3.8.10"),
        (".python-version", "3.8\n"),
        ("bin/ConfigureCloudService.ps1", "$defaultpythonversion = '3.8.2'"),
    ],
)
def test_a_python_is_named_by_files(place, name, content):
    there = place(SERVICES / "rules-languages")
    path = there / "roles/calc" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    wrong = [fault.wrong for fault in folder.check(there, TODAY).warnings if fault.rule == "retired-python"]
    assert wrong == [f"role 'calc' is for Python 3.8, by its {name}; it ended on 7 October 2024"]


def test_endpoints_of_modules_count(place):
    there = place(SERVICES / "rules-imports")
    path = there / location.DEFINITION
    text = path.read_text(encoding="utf-8")
    endpoints = "".join(f'<InputEndpoint name="e{n}" protocol="tcp" port="{1000 + n}" />' for n in range(19))
    path.write_text(text.replace("<Runtime>", f"<Endpoints>{endpoints}</Endpoints><Runtime>", 1), encoding="utf-8")
    wrong = [fault.wrong for fault in folder.check(there, TODAY).errors if fault.rule == "too-many-endpoints"]
    assert wrong == ["the service has 26 endpoints, those of imported modules counted"]


def test_the_program_shows_the_language_before_files_that_lie_about(place):
    there = place(SERVICES / "rules-languages")
    for name in ("Helper.csproj", "package.json", "Tool.cs"):
        (there / "roles/calc" / name).touch()
    (there / "roles/calc/calc.pyproj").write_text("<Project />")
    source = folder.check(there, TODAY).services[0].sources["calc"]
    assert (source.language, source.project.name) == ("Python", "calc.pyproj")


def test_a_role_name_of_a_project_counts_in_any_case(place):
    there = place(SERVICES / "rules-studio" / "Cloud")
    path = there / "Cloud.ccproj"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("<RoleName>ParserRole<", "<RoleName>parserrole<"), encoding="utf-8")
    assert told(there, "project-role") == []


def test_a_site_may_lie_in_the_repository_of_the_service(place):
    there = place(SERVICES / "rules-studio" / "Cloud")
    repository = there.parents[1]
    (repository / "far" / "below").mkdir(parents=True)
    path = there / location.DEFINITION
    text = path.read_text(encoding="utf-8")
    content = '<Contents><Content destination="x"><SourceDirectory path="..\\..\\far\\below" /></Content></Contents>'
    path.write_text(text.replace("<Runtime>", f"{content}<Runtime>", 1), encoding="utf-8")
    assert [fault.rule for fault in folder.check(there, TODAY).errors] == ["far-directory"]
    (repository / ".git").mkdir()
    assert folder.check(there, TODAY).errors == ()
