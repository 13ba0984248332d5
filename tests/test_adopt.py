"""Services that Visual Studio made are taken over as they are; what they lack is added only when told to."""

import subprocess
from datetime import date
from pathlib import Path

import pytest

from cloudservice import folder, project
from cloudservice.errors import ServiceError
from packager import adoption, bundle, contents, ignored
from packager.scaffold import Templates
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
    assert "  missing: Cloud/.gitignore\n  missing: Cloud/tasks.py\n  missing: ParserRole1/Bin/ps.cmd\n  Parser" in told
    assert "Nothing was written. `rolepack adopt . --add` adds the 3 missing files.\n" in told
    assert "invoke emulate" not in told
    assert files_of(studio) == before


def test_what_is_missing_is_added_and_listed(studio, rolepack):
    for name in ("ps.cmd", "LaunchWorker.ps1"):
        (studio / "ParserRole1/Bin" / name).unlink()
    proposed = rolepack.ok("adopt", "Cloud/Cloud.ccproj", cwd=studio)
    assert "adds the 5 missing files, and entries in ParserRole1/ParserRole1.pyproj.\n" in proposed
    before = files_of(studio)
    told = rolepack.ok("adopt", "Cloud", "--add", cwd=studio)
    after = files_of(studio)
    listing = studio / "ParserRole1/ParserRole1.pyproj"
    added = [studio / "Cloud/.gitignore", studio / "Cloud/tasks.py"]
    added += [studio / "ParserRole1/Bin" / name for name in ("LaunchWorker.ps1", "LaunchWorker.py", "ps.cmd")]
    assert sorted(after.keys() - before.keys()) == sorted(added)
    assert [path for path in before if after[path] != before[path]] == [listing]
    entry = b'    <Content Include="Bin\\LaunchWorker.py" />\n'
    assert after[listing].replace(entry, b"") == before[listing]
    assert "Nothing keeps ParserRole from running. Next: cd Cloud; rolepack emulate" in told
    assert "missing" not in told
    again = rolepack.ok("adopt", "Cloud", cwd=studio)
    assert "missing" not in again
    assert "Nothing keeps ParserRole from running." in again
    invoke = Path(rolepack.argv()[0]).with_name("invoke")
    check = subprocess.run([invoke, "check"], cwd=studio / "Cloud", check=False)
    assert check.returncode == 0, "tasks.py makes it a service that invoke knows"


def edited(studio, old, new):
    definition = studio / "Cloud/ServiceDefinition.csdef"
    text = definition.read_text()
    assert old in text
    definition.write_text(text.replace(old, new))


def test_a_script_that_is_not_ours_is_told(studio):
    foreign, *others = adoption.look(studio / "Cloud", Templates()).remarks
    assert foreign.startswith("ParserRole: ParserRole1/Bin/ConfigureCloudService.ps1 is not rolepack's, so a host")
    assert not others
    (studio / "ParserRole1/Bin/ConfigureCloudService.ps1").unlink()
    adoption.add(adoption.look(studio / "Cloud", Templates()))
    assert not adoption.look(studio / "Cloud", Templates()).remarks


def test_only_what_a_role_uses_is_missing(studio):
    for path in (studio / "ParserRole1/Bin").iterdir():
        path.unlink()
    (studio / "ParserRole1/Bin/PrepPython.ps1").touch()
    edited(studio, "ConfigureCloudService.ps1", "PrepPython.ps1")
    edited(studio, r"bin\ps.cmd LaunchWorker.ps1 worker.py", "python worker.py")
    found = adoption.look(studio / "Cloud", Templates())
    assert [path.name for path in found.missing] == [".gitignore", "tasks.py", "ps.cmd"]
    assert found.remarks == (
        "ParserRole: no startup task runs ConfigureCloudService.ps1, so none installs its packages "
        "unless another one does",
    )


def test_a_role_without_tasks_lacks_the_usual_ones(studio):
    for path in (studio / "ParserRole1/Bin").iterdir():
        path.unlink()
    edited(studio, r"bin\ps.cmd ConfigureCloudService.ps1", "x")
    found = adoption.look(studio / "Cloud", Templates())
    names = {path.name for path in found.missing}
    assert {"ps.cmd", "ConfigureCloudService.ps1", "ConfigureCloudService.py", "LaunchWorker.ps1"} <= names
    assert found.remarks == (
        "ParserRole: no startup task runs ConfigureCloudService.ps1, so none installs its packages",
    )


def test_what_is_there_and_not_listed_is_entered(studio, rolepack):
    project_file = studio / "ParserRole1/ParserRole1.pyproj"
    project_file.write_text(project_file.read_text().replace(r"bin\ps.cmd;", ""))
    rolepack.ok("adopt", ".", "--add", cwd=studio)
    assert '    <Content Include="Bin\\ps.cmd" />\n' in project_file.read_text()
    assert rolepack("check", cwd=studio / "Cloud").returncode == 0


@pytest.mark.parametrize("pattern", ["[Bb]in/", "bin", "*.cmd", "ParserRole1/Bin", "/ParserRole1/**/*.cmd"])
def test_what_git_would_lose_is_told_until_it_is_kept(pattern, studio):
    subprocess.run(["git", "init", "--quiet"], cwd=studio, check=True)
    (studio / ".gitignore").write_text(f"*.user\n{pattern}\n")
    subprocess.run(["git", "config", "core.ignorecase", "true"], cwd=studio, check=True)
    (studio / "ParserRole1/Bin/ConfigureCloudService.ps1").write_text("ConfigureCloudService.py")
    (told,) = adoption.look(studio / "Cloud", Templates()).remarks
    assert told == (
        "ParserRole: git would lose ParserRole1/Bin by .gitignore:2; "
        "write !/ParserRole1/Bin/ and !/ParserRole1/Bin/* below that line"
    )
    (studio / ".gitignore").write_text(f"*.user\n{pattern}\n!/ParserRole1/Bin/\n!/ParserRole1/Bin/*\n")
    assert not adoption.look(studio / "Cloud", Templates()).remarks


@pytest.fixture
def repository(studio):
    """The service as a repository in which it has no remark of its own."""
    subprocess.run(["git", "init", "--quiet"], cwd=studio, check=True)
    (studio / "ParserRole1/Bin/ConfigureCloudService.ps1").write_text("ConfigureCloudService.py")
    return studio


@pytest.mark.parametrize(("pattern", "lost"), [("/ParserRole1/", "ParserRole1"), ("*\n!.gitignore", "ParserRole1")])
def test_a_role_that_git_would_lose_as_a_whole_is_told(pattern, lost, repository):
    (repository / ".gitignore").write_text(f"{pattern}\n")
    (told,) = adoption.look(repository / "Cloud", Templates()).remarks
    assert told == f"ParserRole: git would lose {lost} by .gitignore:1; remove that line, or narrow it"


def test_what_git_keeps_already_is_not_told(repository):
    (repository / ".gitignore").write_text("*.cmd\n*.ps1\n")
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run([*git, "add", "--force", "."], cwd=repository, check=True)
    assert not adoption.look(repository / "Cloud", Templates()).remarks


def test_an_ignore_list_of_the_user_is_countered_in_the_repository(repository, tmp_path):
    (tmp_path / "ignore").write_text("*.cmd\n")
    subprocess.run(["git", "config", "core.excludesFile", tmp_path / "ignore"], cwd=repository, check=True)
    (told,) = adoption.look(repository / "Cloud", Templates()).remarks
    assert told.endswith("/ignore:1; write !/ParserRole1/Bin/ and !/ParserRole1/Bin/* into .gitignore")


def test_advice_holds_for_names_with_special_letters(repository):
    place = repository / "a[b]"
    (repository / "Cloud").rename(place)
    (place / ".gitignore").write_text("tasks.py\n")
    (told,) = ignored.advice(place, [place / "bin" / "tasks.py"])
    assert "write !/bin/ and !/bin/* below" in told
    (repository / ".gitignore").write_text("tasks.*\n")
    (place / ".gitignore").unlink()
    (told,) = ignored.advice(place, [place / "bin" / "tasks.py"])
    assert r"write !/a\[b\]/bin/ and !/a\[b\]/bin/* below" in told


def test_advice_is_the_same_through_a_link(repository):
    (repository / ".gitignore").write_text("*.cmd\n")
    link = repository.parent / "link"
    link.symlink_to(repository)
    (told,) = adoption.look(link / "Cloud", Templates()).remarks
    assert "write !/ParserRole1/Bin/ and" in told


def test_links_are_neither_followed_out_nor_written_over(studio, rolepack):
    elsewhere = studio.parent / "far" / "away"
    elsewhere.mkdir(parents=True)
    (studio / "ParserRole1/Bin").rename(studio / "ParserRole1/old")
    (studio / "ParserRole1/Bin").symlink_to(elsewhere)
    told = rolepack.ok("adopt", ".", "--add", cwd=studio)
    assert "ParserRole1/Bin/ps.cmd is not in or beside the service and is left alone" in told
    assert not list(elsewhere.iterdir())
    (studio / "ParserRole1/Bin").unlink()
    (studio / "ParserRole1/old").rename(studio / "ParserRole1/Bin")
    (studio / "ParserRole1/Bin/ps.cmd").unlink()
    (studio / "ParserRole1/Bin/ps.cmd").symlink_to("nowhere")
    rolepack.ok("adopt", ".", "--add", cwd=studio)
    assert (studio / "ParserRole1/Bin/ps.cmd").is_symlink()


def test_a_lost_twin_of_our_script_is_missing(studio):
    adoption.add(adoption.look(studio / "Cloud", Templates()))
    script = studio / "ParserRole1/Bin/LaunchWorker.ps1"
    script.unlink()
    adoption.add(adoption.look(studio / "Cloud", Templates()))
    (studio / "ParserRole1/Bin/LaunchWorker.py").unlink()
    assert [path.name for path in adoption.look(studio / "Cloud", Templates()).missing] == ["LaunchWorker.py"]
    (told,) = folder.check(studio / "Cloud", date(2026, 11, 21)).errors
    assert told.wrong.endswith("names LaunchWorker.py, which is not in ParserRole1/bin")


def test_entries_go_to_a_group_that_always_counts(studio):
    path = studio / "ParserRole1/ParserRole1.pyproj"
    text = path.read_text().replace("<ItemGroup>", "<ItemGroup Condition=\"'$(Configuration)'=='Debug'\">", 1)
    path.write_text(text.replace(r"bin\ps.cmd;", ""))
    adoption.add(adoption.look(studio / "Cloud", Templates()))
    assert '  <ItemGroup>\n    <Content Include="Bin\\ps.cmd" />\n  </ItemGroup>\n</Project>' in path.read_text()


def test_nothing_is_written_far_from_the_service(studio, rolepack):
    far = studio.parent / "far" / "ParserRole1"
    far.parent.mkdir()
    (studio / "ParserRole1").rename(far)
    path = studio / "Cloud/Cloud.ccproj"
    path.write_text(path.read_text().replace(r"..\ParserRole1", r"..\..\far\ParserRole1"))
    (far / "Bin/ps.cmd").unlink()
    before = files_of(far)
    told = rolepack.ok("adopt", "Cloud", "--add", cwd=studio)
    assert "ParserRole: ../far/ParserRole1 is not in or beside the service and is left alone.\n" in told
    assert files_of(far) == before


def test_a_role_that_no_folder_can_have_is_told(studio, rolepack):
    edited(studio, 'name="ParserRole"', 'name="Parser Role"')
    told = rolepack.ok("adopt", ".", cwd=studio)
    assert "Parser Role: no folder can have that name\n" in told
    assert "'Parser Role' cannot be the name of a role. Use" in told


def test_a_service_of_which_nothing_runs_here(studio, rolepack):
    path = studio / "Cloud/ServiceDefinition.csdef"
    text = path.read_text()
    path.write_text(text[: text.index("  <WorkerRole")] + text[text.index("  <WebRole") :])
    path = studio / "Cloud/ServiceConfiguration.Local.cscfg"
    text = path.read_text()
    path.write_text(text[: text.index('  <Role name="ParserRole"')] + text[text.index('  <Role name="Site"') :])
    assert "None of its roles can run here.\n" in rolepack.ok("adopt", ".", "--add", cwd=studio)


def test_names_with_blanks_are_quoted(studio, rolepack):
    place = studio.parent / "my solution"
    studio.rename(place)
    assert "`rolepack adopt 'my solution' --add`" in rolepack.ok("adopt", "my solution", cwd=place.parent)
    assert "Next: cd 'my solution/Cloud'; rolepack" in rolepack.ok("adopt", "my solution", "--add", cwd=place.parent)


def test_what_adding_does_not_mend_is_told(studio, rolepack):
    (studio / "ParserRole1/worker.py").unlink()
    (studio / "ParserRole1/Bin/ps.cmd").unlink()
    proposed = rolepack.ok("adopt", ".", cwd=studio)
    assert "names worker.py, which is not in ParserRole1" in proposed
    assert "names bin\\ps.cmd" not in proposed
    told = rolepack.ok("adopt", ".", "--add", cwd=studio)
    assert "names worker.py, which is not in ParserRole1" in told
    assert "1 error left to mend by hand" in told


def test_folders_without_a_service_are_refused(studio, tmp_path):
    with pytest.raises(ServiceError, match="there is no such folder"):
        adoption.find(tmp_path / "nope")
    with pytest.raises(ServiceError, match=r"no ServiceDefinition.csdef in it or below it"):
        adoption.find(studio / "Site")
    (studio / "Other").mkdir()
    (studio / "Other/servicedefinition.CSDEF").write_bytes((studio / "Cloud/ServiceDefinition.csdef").read_bytes())
    with pytest.raises(ServiceError, match=r"there are several services in it: Cloud, Other. Name one"):
        adoption.find(studio)


def test_only_the_files_that_a_project_lists_are_packaged(studio):
    source = folder.load(studio / "Cloud", "Local").sources["ParserRole"]
    listing = project.listing(source.project)
    assert [str(name) for name, _ in contents.files(source.folder, contents.DEFAULT, listing)] == [
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
    planned = bundle.plan(studio / "Cloud", loaded, Wheelhouse({}))
    assert list(planned.roles) == ["ParserRole"]


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
