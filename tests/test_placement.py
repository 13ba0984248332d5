"""Which host runs what, where it listens, who may come in, and how versions follow each other. No machine is asked."""

from pathlib import Path

import pytest

from cloudservice import folder
from cloudservice.errors import ServiceError
from publisher import actions, placement, publication, setup
from publisher import known as hosts_told
from publisher.agent.values import EMPTY, SLOTS, Deployment, Entry, State
from publisher.hosts import Host, Hosts
from publisher.known import Known
from publisher.published import Published

FILES = {r"\RoleModel.xml": "1" * 64, r"\approot\app.py": "2" * 64}


def host(number, roles, **more):
    address = f"10.0.0.{number}"
    about = {"transport": "ntlm", "account": "me", "tls": False, "port": 5985, "internal_address": address}
    return Host(f"h{number}", address, roles=tuple(roles), update_domain=number, **{**about, **more})


def hosts(*machines, **more):
    return Hosts(Path("hosts.yaml"), machines, {}, **more)


@pytest.fixture
def pair(service):
    """A web role with an http endpoint at port 80 in two instances, and a worker role with one of its own in one."""
    return folder.load(service("pair"), "Local")


def published(service, **more):
    files = {role.name: FILES for role in service.roles}
    directories = {role.name: {("Web",): "approot"} for role in service.roles}
    about = {"sizes": {"1" * 64: 10, "2" * 64: 20}, "directories": directories, "read": lambda _sha: iter([b""])}
    return Published("a" * 12, service, files, **{**about, **more})


def refused(act):
    with pytest.raises(ServiceError) as caught:
        act()
    return [str(fault) for fault in caught.value.faults]


def test_instances_go_to_the_hosts_of_their_role_in_turn(pair):
    placed = placement.place(pair, ["web", "jobs"], hosts(host(1, ["web"]), host(2, ["web", "jobs"])))
    assert [(one.instance.name, one.host.name, one.instance.update_domain) for one in placed] == [
        ("web_IN_0", "h1", 1),
        ("web_IN_1", "h2", 2),
        ("jobs_IN_0", "h2", 2),
    ]


def test_a_role_without_a_host_and_a_host_without_a_role_are_told_together(pair):
    told = refused(lambda: placement.place(pair, ["web", "jobs"], hosts(host(1, ["web", "job"]))))
    assert any("no host runs role 'jobs'" in line for line in told)
    assert any(
        "host 'h1' names a role 'job', which is not there. Write 'jobs', if that was meant" in line for line in told
    )


def test_two_instances_cannot_have_one_fixed_port_of_a_host(pair):
    told = refused(lambda: setup.plan(published(pair), hosts(host(1, ["web", "jobs"]))))
    assert any("web_IN_0 and web_IN_1 would both listen at port" in line for line in told)


def test_staging_listens_elsewhere(pair):
    made = setup.plan(published(pair), hosts(host(1, ["web"]), host(2, ["web", "jobs"]), offset=700))
    first, second = (made.addresses[slot]["web_IN_0"] for slot in SLOTS)
    assert {name: at.port + 700 for name, at in first.items()} == {name: at.port for name, at in second.items()}
    told = refused(lambda: setup.plan(published(pair), hosts(host(1, ["web"]), host(2, ["web", "jobs"]), offset=65500)))
    assert any("would have port" in line and "in staging" in line for line in told)


def test_every_instance_knows_where_all_others_are(pair):
    machines = hosts(host(1, ["web"]), host(2, ["web", "jobs"]))
    made = setup.plan(published(pair), machines)
    told = setup.setup(made, machines.machines[0], "b").slots["production"]
    (instance,) = told.instances
    roles = instance.document["roles"]
    assert [one["id"] for one in roles["web"]["instances"]] == ["web_IN_0", "web_IN_1"]
    at = next(iter(roles["web"]["instances"][1]["endpoints"].values()))
    assert at["address"] == "10.0.0.2"
    assert instance.root == r"C:\rolepack\pair\b\aaaaaaaaaaaa\web_IN_0".replace("pair", pair.name)
    assert instance.environ["RoleRoot"] == instance.root
    assert instance.base.endswith(r"\approot\bin")


def test_a_setup_is_the_same_text_for_the_same(pair):
    machines = hosts(host(1, ["web"]), host(2, ["web", "jobs"]))
    texts = {setup.render(setup.setup(setup.plan(published(pair), machines), machines.machines[0], "a")) for _ in "ab"}
    assert len(texts) == 1


def test_paths_that_windows_cannot_open_are_told_before(pair):
    deep = {**FILES, "\\approot\\" + "d" * 120 + "\\" + "f" * 90: "2" * 64}
    machines = hosts(host(1, ["web"]), host(2, ["web", "jobs"]))
    told = refused(lambda: setup.plan(published(pair)._replace(files={"web": deep, "jobs": FILES}), machines))
    assert any("characters on host 'h1'. Give the host a shorter `root`" in line for line in told)


# How versions follow each other.


def entry(name, token="t"):  # noqa: S107
    return Entry(name, f"setup {name}", "me", "2026", f"{token}-{name}")


def known(state, settled=True):
    facts = {"is_administrator": True, "free": 10**12, "clock": 0}
    return Known(facts, state, {}, frozenset(), dict.fromkeys(SLOTS, ()), dict.fromkeys("ab", settled), {}, None, 0.0)


def running(current, *previous, **more):
    deployment = Deployment(entry(current), tuple(map(entry, previous)))
    return State(1, EMPTY.slots, {"a": deployment, "b": Deployment()}, **more)


def names(deployment):
    return [one.version for one in (deployment.current, *deployment.previous) if one]


def test_three_versions_follow_each_other_and_what_was_undone_is_forgotten_then():
    now = running("3", "2", "1").deployments["a"]._replace(undone=entry("x"))
    after = publication.followed(now, entry("4"))
    assert names(after) == ["4", "3", "2"]
    assert after.undone is None


def test_entries_of_one_version_count_once():
    now = running("3", "3", "2", "2", "1").deployments["a"]
    assert names(publication.followed(now, entry("4"))) == ["4", "3", "3", "2", "2"]


def test_what_an_interrupted_command_left_is_not_gone_back_to():
    state = running("2", "1")
    assert names(known(state).settled("production").deployments["a"]) == ["2", "1"]
    assert names(known(state, settled=False).settled("production").deployments["a"]) == ["1"]
    first = running("1")
    assert known(first, settled=False).settled("production").deployments["a"].current is None


def test_a_rollback_wants_the_same_before_everywhere():
    there = {"h1": known(running("2", "1")), "h2": known(running("2", "1"))}
    after = {name: change.after.deployments["a"] for name, change in actions.back(there, "production").items()}
    assert [names(one) for one in after.values()] == [["1"], ["1"]]
    assert after["h1"].undone == entry("2")
    other = running("2", "1")
    other.deployments["a"] = other.deployments["a"]._replace(previous=(entry("1", "another"),))
    told = refused(lambda: actions.back({**there, "h2": known(other)}, "production"))
    assert "the hosts have run different things before" in told[0]
    told = refused(lambda: actions.back({"h1": known(running("1"))}, "production"))
    assert "its production has run nothing before" in told[0]


def both(slots, swaps):
    state = running("1")
    return known(State(1, slots, {**state.deployments, "b": Deployment(entry("2"))}, swaps))


def test_an_interrupted_swap_is_brought_to_its_end_and_can_go_back():
    usual, other = {"production": "a", "staging": "b"}, {"production": "b", "staging": "a"}
    changes = actions.exchange({"h1": both(usual, 0), "h2": both(usual, 0)})
    assert {change.after.slots["production"] for change in changes.values()} == {"b"}
    assert {change.before.slots["production"] for change in changes.values()} == {"a"}
    changes = actions.exchange({"h1": both(other, 1), "h2": both(usual, 0)})
    assert {change.after.slots["production"] for change in changes.values()} == {"b"}
    assert {change.before.slots["production"] for change in changes.values()} == {"a"}
    assert {change.after.swaps for change in changes.values()} == {2}


def test_a_swap_wants_something_in_staging():
    told = refused(lambda: actions.exchange({"h1": known(running("1"))}))
    assert "its staging runs nothing" in told[0]


@pytest.mark.parametrize(
    ("facts", "skew", "told"),
    [
        ({}, 0.0, None),
        ({"is_administrator": False}, 0.0, "the account is no administrator there"),
        ({"free": 250_000_000}, 0.0, "its disk has 250 MB free, and this needs 310 MB. Make room there"),
        ({}, 301.0, "its clock is 301 s ahead. Set it: w32tm /resync"),
        ({}, -4000.0, "its clock is 4000 s behind"),
        ({}, 299.0, None),
    ],
)
def test_what_keeps_a_host_from_a_version_is_told_before_anything_travels(facts, skew, told):
    one = known(running("1"))
    found = hosts_told.faults("web1", one._replace(facts={**one.facts, **facts}, skew=skew), 100_000_000)
    assert [told in str(fault) for fault in found] == ([True] if told else [])
