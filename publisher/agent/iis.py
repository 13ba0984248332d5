"""Sites of IIS, by its command appcmd."""

import re
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree

from cloudservice.errors import Fault, ServiceError
from publisher.agent import system
from publisher.agent.place import OURS
from publisher.agent.values import Binding, Site

_APPLICATION = "{6f1c6f2e-5d0f-4f43-9d0b-1b8a6f5b8c10}"
"""Who has bound a certificate to a port: this tool. A GUID of our own."""
_APPCMD = "appcmd.exe"
_LISTED = re.compile(r'^SITE "([^"]+)" \(id:\d+,bindings:(.*),state:(\w+)\)', re.MULTILINE)


def put(name: str, site: Site) -> None:
    """Make a site with an application pool of its own, in place of what has that name; it does not answer yet."""
    remove(name)
    pool = ["/managedRuntimeVersion:", "/processModel.identityType:NetworkService", "/autoStart:false"]
    system.run(_APPCMD, "add", "apppool", f"/name:{name}", *pool)
    bindings = ",".join(f"{one.protocol}/{_information(one)}" for one in site.bindings)
    about = [f"/bindings:{bindings}", f"/physicalPath:{site.directory}", "/serverAutoStart:false"]
    system.run(_APPCMD, "add", "site", f"/name:{name}", *about)
    system.run(_APPCMD, "set", "app", f"{name}/", f"/applicationPool:{name}")
    for below in site.below:
        folder = f"/physicalPath:{below.directory}"
        if below.is_application:
            system.run(_APPCMD, "add", "app", f"/site.name:{name}", f"/path:{below.path}", folder)
            system.run(_APPCMD, "set", "app", f"{name}{below.path}", f"/applicationPool:{name}")
        else:
            system.run(_APPCMD, "add", "vdir", f"/app.name:{name}/", f"/path:{below.path}", folder)
    # Files are read as the pool's account, which may read the role's folder; the usual account of visitors may not.
    anonymous = "/section:system.webServer/security/authentication/anonymousAuthentication"
    system.run(_APPCMD, "set", "config", name, anonymous, "/userName:", "/commit:apphost")
    for one in site.bindings:
        if one.protocol == "https":
            _secure(name, one)


def start(name: str) -> None:
    """Let a site answer, now and whenever Windows starts."""
    system.run(_APPCMD, "set", "apppool", name, "/autoStart:true")
    system.run(_APPCMD, "set", "site", name, "/serverAutoStart:true")
    system.run(_APPCMD, "start", "apppool", f"/apppool.name:{name}")
    system.run(_APPCMD, "start", "site", f"/site.name:{name}")


def is_there() -> bool:
    """Whether Windows has IIS; a web role's first start may be what enables it."""
    return (system.folder() / "inetsrv" / _APPCMD).is_file()


def remove(name: str) -> None:
    """Stop a site and forget it, if there is one."""
    if not is_there():
        return
    for kind in ("site", "apppool"):
        if system.attempt(_APPCMD, "list", kind, name)[0] == 0:
            system.attempt(_APPCMD, "stop", kind, f"/{kind}.name:{name}")
            system.run(_APPCMD, "delete", kind, name)


def is_started(name: str) -> bool:
    """Whether a site answers."""
    return is_there() and "state:Started" in system.attempt(_APPCMD, "list", "site", name)[1]


def forget_applications(folder: str) -> None:
    """Let FastCGI forget, and end, the applications whose interpreter lies in a folder."""
    section = "/section:system.webServer/fastCgi"
    if not is_there():
        return
    code, listed = system.attempt(_APPCMD, "list", "config", section)
    if code:
        return
    for path, arguments in _applications(listed):
        if path.lower().startswith(f"{folder.lower()}\\"):
            one = f"/-[fullPath='{path}',arguments='{arguments}']"
            system.run(_APPCMD, "set", "config", section, one, "/commit:apphost")


def _applications(listed: str) -> Iterator[tuple[str, str]]:
    try:
        root = ElementTree.fromstring(listed)  # noqa: S314 - IIS's own configuration
    except ElementTree.ParseError:
        return
    for one in root.iter("application"):
        yield one.get("fullPath", ""), one.get("arguments", "")


def taken(wanted: Iterable[str]) -> dict[str, str]:
    """Of these bindings, such as *:80:, those that a site has which was started and is not ours; and its name."""
    found: dict[str, str] = {}
    for name, bindings, state in _sites():
        there = {one.partition("/")[2] for one in bindings.split(",")}
        if state == "Started" and not name.startswith(OURS):
            found |= dict.fromkeys(there.intersection(wanted), name)
    return found


def names(prefix: str) -> list[str]:
    """The sites whose names begin so."""
    return [name for name, _, _ in _sites() if name.startswith(prefix)]


def _sites() -> list[tuple[str, str, str]]:
    """The name, the bindings and the state of every site."""
    code, listed = system.attempt(_APPCMD, "list", "site") if is_there() else (1, "")
    return _LISTED.findall(listed) if code == 0 else []


def unbind(site: Site) -> None:
    """Take the certificates off the ports of a site."""
    for one in site.bindings:
        if one.protocol == "https":
            system.attempt("netsh.exe", "http", "delete", "sslcert", _at(one))


def _information(one: Binding) -> str:
    return f"*:{one.port}:{one.host}"


def _at(one: Binding) -> str:
    """Where http.sys looks for a certificate: by the name that a client asks for, or by the port alone."""
    return f"hostnameport={one.host}:{one.port}" if one.host else f"ipport=0.0.0.0:{one.port}"


def _secure(name: str, one: Binding) -> None:
    """Bind a certificate to the port of a binding for https."""
    if not one.certificate:
        wrong = f"port {one.port} is for https, and no certificate is given for it"
        raise ServiceError(Fault("IIS", wrong, "Name the endpoint's certificate, and its thumbprint in the .cscfg"))
    if one.host:
        binding = f"[protocol='https',bindingInformation='{_information(one)}']"
        system.run(_APPCMD, "set", "site", f"/site.name:{name}", f"/bindings.{binding}.sslFlags:1")
    system.attempt("netsh.exe", "http", "delete", "sslcert", _at(one))
    about = [f"certhash={one.certificate}", f"appid={_APPLICATION}", f"certstorename={one.store}"]
    system.run("netsh.exe", "http", "add", "sslcert", _at(one), *about)
