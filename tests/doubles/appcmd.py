"""A double of appcmd.exe, for pools, sites, applications, virtual directories and the register of FastCGI."""

import re
import sys
from collections.abc import Callable

import fastcgi
import iis
import listing
import machine
from iis import AppcmdError, State

EXISTS, UNKNOWN, NO_SUCH_VERB = 183, 50, 87
"""Exit codes; the double answers 183 also to a site whose binding is taken."""
WRITTEN = {name.lower(): name for name in ("applicationPool", "bindings", "physicalPath", "state")}
"""How settings are written that mean something here: appcmd takes them in any case."""
BINDING = re.compile(r"/([+-])bindings\.\[protocol='(\w+)',bindingInformation='([^']*)'.*\]", re.IGNORECASE)
ROOT = "[path='/']"


class Words:
    """What appcmd is called with: a verb, a kind of object, perhaps the name of one, and options."""

    def __init__(self, words: list[str]) -> None:
        plain = [word for word in words if not word.startswith("/")]
        self.verb, self.kind = (word.lower() for word in (*plain, "", "")[:2])
        self.named = " ".join(plain[2:])
        self.slashed = [word for word in words if word.startswith("/")]
        pairs = (word[1:].partition(":") for word in self.slashed if word[1] not in "+-")
        self.options = {WRITTEN.get(name.lower(), name): value for name, _, value in pairs}
        self._lowered = {name.lower(): value for name, value in self.options.items()}

    def get(self, name: str) -> str:
        """The value of an option, however its name is written."""
        return self._lowered.get(name.lower(), "")

    @property
    def name(self) -> str:
        """The object that is meant."""
        return self.named or self.get(f"{self.kind}.name")

    def settings(self) -> State:
        """The options that do not name the object."""
        left_out = {"name", f"{self.kind}.name"}
        return {name: value for name, value in self.options.items() if name.lower() not in left_out}


def main(words: list[str]) -> int:
    """Do what the words ask for."""
    asked = Words(words)
    act = ACTS.get((asked.verb, asked.kind))
    if act is None:
        print(f"Failed to process input: {' '.join(words)}", file=sys.stderr)
        return NO_SUCH_VERB
    try:
        with machine.locked():
            perform(act, asked)
    except AppcmdError as error:
        print(error, end="\n" if str(error) else "")
        return error.code
    return 0


def perform(act: Callable[[State, Words], object], asked: Words) -> None:
    """Do one act; what serves the sites then follows what it has changed."""
    state = iis.load()
    act(state, asked)
    if asked.verb != "list":
        iis.save(state)
        iis.settle()


def find(among: State, kind: str, name: str) -> str:
    """The name of an object as it was given first: it is the same in any case."""
    for known in among:
        if known.lower() == name.lower():
            return known
    raise AppcmdError(UNKNOWN, f'Cannot find {kind.upper()} object with identifier "{name}".')


def put(among: State, name: str, value: State) -> None:
    """Add an object, if there is none of that name."""
    if name.lower() in map(str.lower, among):
        raise AppcmdError(EXISTS, f'Failed to add duplicate collection element "{name}".')
    among[name] = value


def say(asked: Words, name: str, done: str) -> None:
    """Say what was done with an object."""
    print(f'{asked.kind.upper()} object "{name}" {done}')


def add_pool(state: State, asked: Words) -> None:
    """Add a pool, which is started."""
    name = asked.get("name") or asked.name
    put(state["pools"], name, {"state": "Started", **asked.settings()})
    say(asked, name, "added")


def delete_pool(state: State, asked: Words) -> None:
    """Delete a pool; a site in it is not served."""
    del state["pools"][find(state["pools"], "apppool", asked.name)]
    say(asked, asked.name, "deleted")


def set_pool(state: State, asked: Words) -> None:
    """Change settings of a pool."""
    state["pools"][find(state["pools"], "apppool", asked.name)] |= asked.settings()
    say(asked, asked.name, "changed")


def start_pool(state: State, asked: Words) -> None:
    """Start a pool, and what is in it."""
    state["pools"][find(state["pools"], "apppool", asked.name)]["state"] = "Started"
    print(f'"{asked.name}" successfully started.')


def stop_pool(state: State, asked: Words) -> None:
    """Stop a pool, and what is in it."""
    state["pools"][find(state["pools"], "apppool", asked.name)]["state"] = "Stopped"
    print(f'"{asked.name}" successfully stopped')


def recycle_pool(state: State, asked: Words) -> None:
    """Start again what serves the sites of a pool."""
    iis.end_pool(state, find(state["pools"], "apppool", asked.name))
    print(f'"{asked.name}" successfully recycled')


def add_site(state: State, asked: Words) -> None:
    """Add a site, with an application at its root if it has a folder; it starts if its bindings are free."""
    name = asked.get("name") or asked.name
    last = max((site["id"] for site in state["sites"].values()), default=0)
    site = {"id": int(asked.get("id") or last + 1), "bindings": asked.get("bindings"), "apps": {}}
    if asked.get("physicalPath"):
        site["apps"]["/"] = application("", asked.get("physicalPath"))
    site["state"] = "Stopped" if is_taken(state, name, site["bindings"]) else "Started"
    put(state["sites"], name, site)
    say(asked, name, "added")


def application(pool: str, folder: str) -> State:
    """An application with its root."""
    return {"applicationPool": pool or "DefaultAppPool", "vdirs": {"/": {"physicalPath": folder}}}


def is_taken(state: State, name: str, bindings: str) -> bool:
    """Whether another site that is started has one of the bindings."""
    others = (site for other, site in state["sites"].items() if other != name and site["state"] == "Started")
    taken = {binding for site in others for binding in site["bindings"].split(",")}
    return not taken.isdisjoint(filter(None, bindings.split(",")))


def delete_site(state: State, asked: Words) -> None:
    """Delete a site, which ends."""
    del state["sites"][find(state["sites"], "site", asked.name)]
    say(asked, asked.name, "deleted")


def set_site(state: State, asked: Words) -> None:
    """Change settings of a site, or of the application and the folder at its root."""
    site = state["sites"][find(state["sites"], "site", asked.name)]
    for name, value in asked.settings().items():
        place, _, attribute = name.rpartition(".")
        if ROOT in place:
            part(site, place)[WRITTEN.get(attribute.lower(), attribute)] = value
        else:
            site[name] = value
    for sign, protocol, information in (found.groups() for found in map(BINDING.fullmatch, asked.slashed) if found):
        bindings = [one for one in site["bindings"].split(",") if one not in {"", f"{protocol}/{information}"}]
        site["bindings"] = ",".join([*bindings, *([f"{protocol}/{information}"] if sign == "+" else [])])
    say(asked, asked.name, "changed")


def part(site: State, place: str) -> State:
    """The root application of a site, or its root directory."""
    root = site["apps"]["/"]
    return root if place.count(ROOT) == 1 else root["vdirs"]["/"]


def start_site(state: State, asked: Words) -> None:
    """Start a site, if its bindings are free."""
    name = find(state["sites"], "site", asked.name)
    if is_taken(state, name, state["sites"][name]["bindings"]):
        raise AppcmdError(EXISTS, "Cannot create a file when that file already exists.")
    state["sites"][name]["state"] = "Started"
    print(f'"{name}" successfully started.')


def stop_site(state: State, asked: Words) -> None:
    """Stop a site."""
    state["sites"][find(state["sites"], "site", asked.name)]["state"] = "Stopped"
    print(f'"{asked.name}" successfully stopped')


def add_app(state: State, asked: Words) -> None:
    """Add an application to a site."""
    site, path = find(state["sites"], "site", asked.get("site.name")), asked.get("path")
    put(state["sites"][site]["apps"], path, application(asked.get("applicationPool"), asked.get("physicalPath")))
    say(asked, f"{site}{path}", "added")


def delete_app(state: State, asked: Words) -> None:
    """Delete an application."""
    apps, path = app(state, asked.name)
    del apps[path]
    say(asked, asked.name, "deleted")


def set_app(state: State, asked: Words) -> None:
    """Change settings of an application."""
    apps, path = app(state, asked.name)
    apps[path] |= asked.settings()
    say(asked, asked.name, "changed")


def app(state: State, name: str) -> tuple[State, str]:
    """The applications of a site, and the path of the one that is meant: SITE/PATH."""
    site, _, path = name.partition("/")
    apps = state["sites"][find(state["sites"], "site", site)]["apps"]
    return apps, find(apps, "app", f"/{path}")


def add_vdir(state: State, asked: Words) -> None:
    """Add a virtual directory to an application."""
    apps, path = app(state, asked.get("app.name"))
    put(apps[path]["vdirs"], asked.get("path"), {"physicalPath": asked.get("physicalPath")})
    say(asked, f"{asked.get('app.name').rstrip('/')}{asked.get('path')}", "added")


def delete_vdir(state: State, asked: Words) -> None:
    """Delete a virtual directory."""
    beside, path = vdir(state, asked.name)
    del beside[path]
    say(asked, asked.name, "deleted")


def set_vdir(state: State, asked: Words) -> None:
    """Change settings of a virtual directory: its folder, above all."""
    beside, path = vdir(state, asked.name)
    beside[path] |= asked.settings()
    say(asked, asked.name, "changed")


def vdir(state: State, name: str) -> tuple[State, str]:
    """The virtual directories of an application, and the path of the one that is meant: SITE/APPLICATION/PATH."""
    known = {f"{site}{above.rstrip('/')}{path}": (beside, path) for site, above, path, beside in iis.every_vdir(state)}
    return known[find(known, "vdir", name)]


def list_config(state: State, asked: Words) -> None:
    """Show a section."""
    section = asked.get("section")
    if section.lower() == fastcgi.SECTION:
        print(fastcgi.show(state["fastcgi"]))
    else:
        print(f"<{section.rpartition('/')[2]} />")


def set_config(state: State, asked: Words) -> None:
    """Change a section; only the register of FastCGI is kept."""
    section = asked.get("section")
    if section.lower() == fastcgi.SECTION:
        fastcgi.change(state["fastcgi"], asked.slashed)
    print(f'Applied configuration changes to section "{section}"')


def unlock_config(state: State, asked: Words) -> None:
    """Let sites have a section of their own."""
    section = asked.get("section")
    state["unlocked"] = sorted({*state["unlocked"], section})
    print(f'Unlocked section "{section}".')


ACTS: dict[tuple[str, str], Callable[[State, Words], object]] = {
    ("add", "apppool"): add_pool,
    ("delete", "apppool"): delete_pool,
    ("set", "apppool"): set_pool,
    ("start", "apppool"): start_pool,
    ("stop", "apppool"): stop_pool,
    ("recycle", "apppool"): recycle_pool,
    ("list", "apppool"): listing.pools,
    ("add", "site"): add_site,
    ("delete", "site"): delete_site,
    ("set", "site"): set_site,
    ("start", "site"): start_site,
    ("stop", "site"): stop_site,
    ("list", "site"): listing.sites,
    ("add", "app"): add_app,
    ("delete", "app"): delete_app,
    ("set", "app"): set_app,
    ("list", "app"): listing.apps,
    ("add", "vdir"): add_vdir,
    ("delete", "vdir"): delete_vdir,
    ("set", "vdir"): set_vdir,
    ("list", "vdir"): listing.vdirs,
    ("list", "config"): list_config,
    ("set", "config"): set_config,
    ("unlock", "config"): unlock_config,
}
