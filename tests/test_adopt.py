"""Services that Visual Studio made are taken over as they are; what they lack is added only when told to."""

import subprocess
from pathlib import Path

import pytest

from cloudservice import folder, project
from cloudservice.errors import ServiceError
from packager import adoption, bundle, contents
from packager.target import parse
from packager.wheelhouse import Wheelhouse


@pytest.fixture
def studio(service, monkeypatch):
    place = service("rules-studio")
    monkeypatch.chdir(place)
    return place


def files_of(place):
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_nothing_is_written_unless_it_is_wanted(studio, rolepack):
    (studio / "ParserRole1/Bin/ps.cmd").unlink()
    before = files_of(studio)
    told = rolepack.ok("adopt", ".", cwd=studio)
    assert "Service 'Cloud' in Cloud, project Cloud.ccproj, configurations Local." in told
    assert "ParserRole: Python worker role in ParserRole1 (ParserRole1.pyproj), requirements.txt\n" in told
    assert "Site: .NET web role in Site (Site.csproj); neither packaged nor run here: it is a .NET role" in told
    assert "  missing: ParserRole1/Bin/ps.cmd\n  " not in told
    assert "  missing: Cloud/tasks.py\n  missing: ParserRole1/Bin/ps.cmd\n" in told
    assert "Nothing was written. `rolepack adopt . --add` adds the 2 missing files." in told
    assert files_of(studio) == before


def test_what_is_missing_is_added_and_listed(studio, rolepack):
    for name in ("ps.cmd", "LaunchWorker.ps1"):
        (studio / "ParserRole1/Bin" / name).unlink()
    before = files_of(studio)
    told = rolepack.ok("adopt", "Cloud", "--add", cwd=studio)
    after = files_of(studio)
    listing = studio / "ParserRole1/ParserRole1.pyproj"
    added = [studio / "Cloud/tasks.py"]
    added += [studio / "ParserRole1/Bin" / name for name in ("LaunchWorker.ps1", "LaunchWorker.py", "ps.cmd")]
    assert sorted(after.keys() - before.keys()) == sorted(added)
    assert [path for path in before if after[path] != before[path]] == [listing]
    entry = b'    <Content Include="Bin\\LaunchWorker.py" />\n'
    assert after[listing].replace(entry, b"") == before[listing]
    assert "Nothing keeps it from running. Next: cd Cloud; invoke emulate" in told
    assert "missing" not in rolepack.ok("adopt", "Cloud", cwd=studio)
    invoke = Path(rolepack.argv()[0]).with_name("invoke")
    check = subprocess.run([invoke, "check"], cwd=studio / "Cloud", check=False)
    assert check.returncode == 0, "tasks.py makes it a service that invoke knows"


def test_remarks(studio):
    (studio / ".gitignore").write_text("*.user\n[Bb]in/\n")
    definition = studio / "Cloud/ServiceDefinition.csdef"
    text = definition.read_text()
    definition.write_text(text.replace("ps.cmd ConfigureCloudService.ps1", "other.cmd"))
    assert adoption.look(studio / "Cloud", "3.12.10").remarks == (
        "ParserRole: no startup task runs ConfigureCloudService.ps1, so a host would not install its packages",
        "ParserRole: .gitignore ignores bin, so git would lose the support files; except them there",
    )


def test_what_adding_does_not_mend_is_told(studio, rolepack):
    (studio / "ParserRole1/worker.py").unlink()
    told = rolepack.ok("adopt", ".", "--add", cwd=studio)
    assert "names worker.py, which is not in ParserRole1" in told
    assert "1 error left to mend by hand" in told


def test_folders_without_a_service_are_refused(studio, tmp_path):
    with pytest.raises(ServiceError, match="there is no such folder"):
        adoption.find(tmp_path / "nope")
    with pytest.raises(ServiceError, match=r"no ServiceDefinition.csdef in it or right below it"):
        adoption.find(studio / "Site")
    (studio / "Other").mkdir()
    (studio / "Other/servicedefinition.CSDEF").write_bytes((studio / "Cloud/ServiceDefinition.csdef").read_bytes())
    with pytest.raises(ServiceError, match=r"there are several services in it: Cloud, Other. Name one"):
        adoption.find(studio)


def test_only_the_files_that_a_project_lists_are_packaged(studio):
    source = folder.load(studio / "Cloud", "Local").sources["ParserRole"]
    listing = project.listing(source.project)
    assert [str(name) for name, _ in contents.files(source.folder, listing)] == [
        "Bin/ConfigureCloudService.ps1",
        "Bin/LaunchWorker.ps1",
        "Bin/ps.cmd",
        "parsers/new.py",
        "requirements.txt",
        "worker.py",
    ]


def test_a_dotnet_role_is_left_out_of_the_bundle(studio):
    loaded = folder.load(studio / "Cloud", "Local")
    assert list(bundle.left_out(loaded)) == ["Site"]
    planned = bundle.plan(studio / "Cloud", loaded, Wheelhouse(parse("win_amd64", "3.12"), {}))
    assert list(planned.layouts) == ["Roles/ParserRole"]


@pytest.mark.parametrize(
    ("include", "path", "is_held"),
    [
        ("a\\b.py", "A/B.py", True),
        (".\\a.py; b.py", "b.py", True),
        ("*.py", "a.py", True),
        ("*.py", "a/b.py", False),
        ("**\\*.py", "a/b/c.py", True),
        ("**\\*.py", "c.py", True),
        ("a\\**", "a/b/c.txt", True),
        ("?.py", "ab.py", False),
        ("a%20b.py", "a b.py", True),
        ("$(Some)\\a.py", "a.py", False),
        ("a.py", "aapy", False),
        ("bin\\*.*", "bin/LICENSE", True),
        ("a*b*c.py", "aXbYc.py", True),
        ("a*b*c.py", "aXcYb.py", False),
        ("[a].py", "[A].py", True),
    ],
)
def test_lists_of_a_project_are_read_as_msbuild_does(include, path, is_held, tmp_path):
    file = tmp_path / "x.pyproj"
    file.write_text(f'<Project><ItemGroup><Content Include="{include}" /></ItemGroup></Project>')
    assert project.listing(file).holds(path) == is_held


def test_what_an_item_excludes_another_may_name(tmp_path):
    file = tmp_path / "x.pyproj"
    items = '<Compile Include="**\\*.py" Exclude="old\\**;gone.py" /><Content Include="old\\keep.py" />'
    file.write_text(f"<Project><ItemGroup>{items}</ItemGroup></Project>")
    listing = project.listing(file)
    names = ("new.py", "old/keep.py", "old/drop.py", "gone.py")
    assert [listing.holds(name) for name in names] == [True, True, False, False]


def test_a_role_name_counts_before_a_name_and_metadata_may_be_attributes(tmp_path):
    file = tmp_path / "x.ccproj"
    file.write_text(
        '<Project><ItemGroup><ProjectReference Include="One.pyproj"><Name>One</Name><RoleName>First</RoleName>'
        '</ProjectReference><ProjectReference Include="Two.pyproj" RoleName="Second" /></ItemGroup></Project>'
    )
    assert [one.role for one in project.references(file)] == ["First", "Second"]


def test_roles_of_a_project_without_a_role_name(tmp_path):
    file = tmp_path / "x.ccproj"
    file.write_text(
        '<Project><ItemGroup><ProjectReference Include="..\\One\\One.pyproj"><Name>First</Name></ProjectReference>'
        '<ProjectReference Include="Two/Two.csproj" /></ItemGroup></Project>'
    )
    assert [(one.role, one.project) for one in project.references(file)] == [
        ("First", tmp_path.parent / "One" / "One.pyproj"),
        ("Two", tmp_path / "Two" / "Two.csproj"),
    ]
