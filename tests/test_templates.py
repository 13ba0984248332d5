"""Templates: a user's own take the place of rolepack's one at a time, and what is wrong with one is told by name."""

import pytest
from conftest import ROOT

from cloudservice import folder, location
from cloudservice.errors import ServiceError
from packager import blueprint, scripts
from packager.blueprint import NewRole
from packager.scaffold import Templates
from rolepack import options


@pytest.fixture
def own(shop):
    """A folder of templates that invoke.yaml names."""
    place = shop / "my" / "templates"
    place.mkdir(parents=True)
    (shop / "invoke.yaml").write_text("run: {echo: false}\ntemplates: my/templates\n")
    return place


def write(place, name, text):
    path = place / f"{name}.j2"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_one_file_takes_the_place_of_its_namesake(shop, own, rolepack):
    write(own, "roles/worker/worker.py", "print('{{ name }} by us')\n")
    write(own, "roles/worker/more/notes.txt", "Kind: {{ kind }}\n")
    rolepack.ok("new-role", "mail", "--kind", "worker", cwd=shop)
    made = shop / "roles" / "mail"
    assert (made / "worker.py").read_text() == "print('mail by us')\n"
    assert (made / "more/notes.txt").read_text() == "Kind: worker\n"
    assert (made / "bin/ps.cmd").read_bytes() == (shop / "roles/jobs/bin/ps.cmd").read_bytes()


def test_a_script_as_the_users_template_has_it_is_not_a_changed_one(shop, own, rolepack):
    script = (ROOT / "templates/support/worker/bin/LaunchWorker.ps1.j2").read_text()
    write(own, "support/worker/bin/LaunchWorker.ps1", script + "# of our own\n")
    rolepack.ok("new-role", "mail", "--kind", "worker", cwd=shop)
    assert "# of our own" in (shop / "roles/mail/bin/LaunchWorker.ps1").read_text()
    said = rolepack.ok("emulate", "--detach", "--role", "mail", cwd=shop)
    assert "was changed" not in said


def test_what_rolepack_writes_is_known_again_without_rendering(shop):
    found = folder.load(shop, "Local")
    for role in found.roles:
        assert len(scripts.of_windows(role, found.sources[role.name])) == (2 if role.kind == "web" else 3)
        assert not scripts.changed(role, found.sources[role.name])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("one\n{% if %}", "roles/worker/worker.py.j2:2: the template cannot be rendered: "),
        ("\n\n{{ nmae }}", "roles/worker/worker.py.j2:3: the template cannot be rendered: 'nmae' is undefined."),
        ("{{ 1 / 0 }}", "roles/worker/worker.py.j2:1: the template cannot be rendered: division by zero. Correct it"),
        ("{% include 'roles/worker/worker.py.j2' %}", "cannot be rendered: maximum recursion depth exceeded"),
        ("{% for a in 5 %}{% endfor %}", "roles/worker/worker.py.j2:1: the template cannot be rendered: 'int' object"),
        ("{% include 'none' %}", "roles/worker/worker.py.j2:1: the template cannot be rendered: it includes none"),
        ("{{ name.__class__.__mro__ }}", "roles/worker/worker.py.j2:1: the template cannot be rendered: access to"),
    ],
)
def test_a_template_that_is_wrong_is_named_and_nothing_written(shop, own, rolepack, text, told):
    write(own, "roles/worker/worker.py", text)
    before = (shop / location.DEFINITION).read_bytes()
    assert told in rolepack.refused("new-role", "mail", "--kind", "worker", cwd=shop)
    assert not (shop / "roles/mail").exists()
    assert (shop / location.DEFINITION).read_bytes() == before


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "templates: none\n",
            "templates is 'none', which is no folder below or beside the service. Name a folder; it is",
        ),
        ("templates: ''\n", "templates is '', which is no folder below or beside the service"),
        ("templates: .\n", "templates is '.', which is no folder below or beside the service"),
        ("templates: [a]\n", "templates is no text. Name a folder; it is relative to this file."),
        ("templates: 2024-13-45\n", "invoke.yaml: it is no YAML"),
        ("[" * 3000, "invoke.yaml: it is no YAML"),
        ("#" * 2_000_000, "invoke.yaml: it has more than 1,048,576 bytes"),
        ("templates: /usr\n", "templates is '/usr', which is not in or beside the service"),
        ("a: b\ntemplates: 'x\n", "invoke.yaml:3: it is no YAML: found unexpected end of stream"),
        ("- a\n", "invoke.yaml: it has no keys. Write options as `name: value`."),
        ("\x00", "invoke.yaml: it is no YAML. Save it as UTF-8 text."),
        (
            "a: !!python/object/apply:os.system [true]\n",
            "invoke.yaml:1: it is no YAML: could not determine a constructor",
        ),
    ],
)
def test_options_that_cannot_be_are_told(shop, text, told):
    (shop / "invoke.yaml").write_text(text)
    with pytest.raises(ServiceError) as error:
        options.load(shop)
    assert told in str(error.value)


@pytest.mark.parametrize("text", [None, "", "# nothing\n", "tasks: {auto_dash_names: true}\n"])
def test_no_options_are_fine(shop, text):
    (shop / "invoke.yaml").unlink()
    if text is not None:
        (shop / "invoke.yaml").write_text(text)
    assert options.load(shop) == options.Options()


def test_a_link_out_of_the_templates_is_refused(shop, own, rolepack, tmp_path):
    (tmp_path / "secret").write_text("a key")
    (own / "roles/worker").mkdir(parents=True)
    (own / "roles/worker/worker.py.j2").symlink_to(tmp_path / "secret")
    told = rolepack.refused("new-role", "mail", "--kind", "worker", cwd=shop)
    assert (
        "my/templates/roles/worker/worker.py.j2: it is no file of the folder of templates, or a link out of it" in told
    )
    assert not (shop / "roles/mail").exists()


@pytest.mark.parametrize("text", ["<Variable>", "<a/><b/>", "{{ nmae }}"])
def test_an_entry_that_is_no_element_is_told_at_its_template(shop, own, rolepack, text):
    write(own, "entries/probe.xml", text)
    told = rolepack.refused("new-role", "more", "--kind", "web", cwd=shop)
    assert told.startswith("my/templates/entries/probe.xml.j2")
    assert "the template cannot be rendered: " in told


def test_templates_of_new_roles_serve_those_that_are_there_too(shop, own, rolepack):
    write(own, "support/worker/bin/more.txt", "{{ vmsize }} {{ secret }} {{ port }} {{ probe }} {{ instances }}")
    write(own, "entries/store.xml", "<LocalStorage name='{{ name }}' sizeInMB='1' />")
    write(own, "roles/web/page.html", "for new web roles alone")
    write(own, "support/both/bin/tool.py", "print('a program that no script runs')\n")
    rolepack.ok("add-support-files", "jobs", cwd=shop)
    assert (shop / "roles/jobs/bin/tool.py").is_file()
    assert (shop / "roles/jobs/bin/more.txt").is_file()
    assert not (shop / "roles/jobs/page.html").exists()


def test_names_are_escaped_where_a_file_is_xml_or_html(shop):
    files = Templates().render(["support/both"], {"kind": "a & b", "framework": "", "python": "3"})
    page = next(file for file in files if file.path.name == "readme.html")
    assert b"a &amp; b" in page.content
    values = {"name": '"<x>', "kind": "web", "vmsize": "&", "port": 1, "probe": "", "framework": ""}
    entry = Templates().text("entries/web.xml.j2", values)
    assert 'name="&#34;&lt;x&gt;" vmsize="&amp;"' in entry


def test_a_disk_that_is_full_leaves_no_half_of_a_role(shop, monkeypatch):
    made = blueprint.plan_role(shop, NewRole("mail", "worker"), Templates())
    monkeypatch.setattr("os.replace", _fails_at_the_third())
    with pytest.raises(OSError, match="no space"):
        blueprint.write(made)
    assert not (shop / "roles/mail").exists()
    assert [path.name for path in (shop / "roles").iterdir()] in (["jobs", "web"], ["web", "jobs"])


def _fails_at_the_third():
    import os

    really, calls = os.replace, []

    def replace(*paths):
        calls.append(paths)
        if len(calls) == 3:
            raise OSError(28, "no space")
        return really(*paths)

    return replace
