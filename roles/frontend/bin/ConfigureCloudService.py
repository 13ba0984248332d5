"""Prepare an instance of this role before it starts.

It installs the role's packages from the wheelhouse that came with it, and tells IIS how to run the site.
ConfigureCloudService.ps1 runs it on a host as a startup task, each time the role starts, and the emulator runs it too;
so every step may be repeated, and changes nothing the second time. Standard library only.

To customise it, add your steps to main(): `run` runs a program and fails the task if that fails, `log` writes a line to
ConfigureCloudService.ps1.log. Any exit code but 0 keeps the role from starting. Packages belong into requirements.txt.
"""

import codecs
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat
from xml.sax.saxutils import escape

APPROOT = Path(__file__).absolute().parent.parent
LOCK = APPROOT / "requirements.lock"
OWN = APPROOT / ".rolepack"
"""What is made on this machine; no file of the role is there."""
ENVIRONMENT = OWN / "env"
PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
"""The interpreter that has the role's packages."""
HAS_PIP = sys.version_info >= (3, 11) and importlib.util.find_spec("pip") is not None
"""Whether the Python that runs this has a pip that can install for another, which saves the environment its own."""
EMULATED = os.environ.get("EMULATED", "").lower() == "true"
PREPARED = EMULATED and "appcmd" not in os.environ
"""Rolepack's emulator installs packages and serves sites itself; that of the SDK does not, and names its appcmd."""

HANDLER = "PythonHandler"
"""The handler of web.config that is given the role's Python."""
FEATURES = (
    *("IIS-WebServerRole", "IIS-WebServer", "IIS-CGI", "IIS-CommonHttpFeatures", "IIS-StaticContent"),
    *("IIS-DefaultDocument", "IIS-HttpErrors", "IIS-HealthAndDiagnostics", "IIS-HttpLogging", "IIS-Security"),
    *("IIS-RequestFiltering", "IIS-Performance", "IIS-HttpCompressionStatic", "IIS-WebServerManagementTools"),
    "IIS-ManagementConsole",
)
"""The features of Windows that a site needs; FastCGI is a part of IIS-CGI."""
RESTART_NEEDED = 3010
TAG = re.compile(rb"""<(?:"[^"]*"|'[^']*'|[^"'>])*?(?=\s*/?>)""")
"""A start tag of XML without its end."""
ATTRIBUTE = re.compile(rb"""([^\s=]+)\s*=\s*("[^"]*"|'[^']*')""")
PASSED = (
    *("EMULATED", "RoleRoot", "RoleName", "RoleInstanceID", "RoleDeploymentID", "DiagnosticStore"),
    "ROLE_ENVIRONMENT",
)
"""What this task knows of the instance, and the application should: IIS starts it without these variables."""


class StepError(Exception):
    """A step that cannot be done, and what to do about it."""


def main() -> None:
    """Every step, in order."""
    log(f"configuring {os.environ.get('RoleInstanceID', 'this role')} with Python {sys.version.split()[0]}")
    python = install_packages()
    if PREPARED:
        log("the emulator serves the site, by web.emulator.config or else web.config")
    else:
        configure_iis(python)
    log("done")


def log(text: str) -> None:
    """Write a line with its time to the log of this script."""
    print(time.strftime("%Y-%m-%d %H:%M:%S"), text, flush=True)


def run(*command: object, well: tuple[int, ...] = (0,)) -> int:
    """Run a program, which ends with one of the exit codes that are `well`, or else fails this task."""
    words = list(map(str, command))
    log(f"running {subprocess.list2cmdline(words)}")
    # What the machine has set for pip is not meant for this role.
    code = subprocess.run(words, env={**os.environ, "PIP_CONFIG_FILE": os.devnull}, check=False).returncode
    if code not in well:
        message = f"{Path(words[0]).name} ended with exit code {code}; what it says about it stands above"
        raise StepError(message)
    return code


def pip(*words: object) -> None:
    """Run a command of pip for the role's environment."""
    program = [sys.executable, "-m", "pip", "--python", PYTHON] if HAS_PIP else [PYTHON, "-m", "pip"]
    run(*program, "--isolated", "--disable-pip-version-check", *words)


def install_packages() -> Path:
    """Install what the lock names from the wheelhouse, without a network; returns the interpreter that has it."""
    if PREPARED:
        log("the emulator has installed the packages")
        return Path(sys.executable)
    if not LOCK.exists():
        log(f"there is no {LOCK}, so nothing to install")
        return Path(sys.executable)
    lock = LOCK.read_bytes()
    check_version(lock.decode(errors="replace"))
    installed = ENVIRONMENT / "installed.txt"
    key = hashlib.sha256(lock + sys.version.encode() + sys.base_prefix.encode()).hexdigest()
    if PYTHON.exists() and installed.exists() and installed.read_text() == key:
        log("the packages are installed already")
        return PYTHON
    run(sys.executable, "-m", "venv", "--clear", *(["--without-pip"] if HAS_PIP else []), ENVIRONMENT)
    offline = ["--no-index", "--find-links", APPROOT / "wheelhouse", "--only-binary", ":all:", "--require-hashes"]
    pip("install", *offline, "-r", LOCK)
    installed.write_text(key)
    return PYTHON


def check_version(lock: str) -> None:
    """Fail if the wheels are for another Python than this one."""
    wanted = re.search(r"^# python (\d+\.\d+)", lock, re.MULTILINE)
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if wanted and wanted[1] != here:
        message = (
            f"the role's wheels are for Python {wanted[1]}, and this is {here}: let PYTHON name a Python {wanted[1]}, "
            f"or package with --python {here}"
        )
        raise StepError(message)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is never there by half, unless it says the same already."""
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)


def configure_iis(python: Path) -> None:
    """Enable what IIS needs, register the application with FastCGI, and write its command into each web.config."""
    bridge = find_bridge(python)
    if not EMULATED:
        enable_features()
        # As IIS comes, a site may not have handlers of its own.
        run(*appcmd(), "unlock", "config", "/section:system.webServer/handlers")
    # IIS looks an application up by these words, so that both must be the same in web.config and in its register.
    words = [f'"{path}"' if " " in str(path) else str(path) for path in (python, bridge)]
    register(*words)
    for site in sites():
        configure_site(site, "|".join(words))


def find_bridge(python: Path) -> Path:
    """The program between FastCGI and WSGI: the package wfastcgi, which is among the role's packages."""
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    bridge = Path(packages) / "wfastcgi.py"
    if not bridge.exists():
        message = f"{bridge} is not there: add wfastcgi to requirements.txt, or package the role with rolepack"
        raise StepError(message)
    return bridge


def enable_features() -> None:
    """Enable the features of Windows that a site needs; those that are enabled already stay so."""
    dism = shutil.which("dism") or rf"{os.environ.get('SystemRoot')}\System32\dism.exe"
    wanted = (f"/FeatureName:{name}" for name in FEATURES)
    code = run(dism, "/Online", "/English", "/NoRestart", "/Enable-Feature", "/All", *wanted, well=(0, RESTART_NEEDED))
    if code == RESTART_NEEDED:
        log("Windows wants to be restarted for these features")


def appcmd() -> list[str]:
    """The command of IIS that edits its configuration; the variable `appcmd` may name another, with arguments."""
    named = os.environ.get("appcmd", "")
    if Path(named).is_file():
        return [named]
    if named:
        return [word.replace('"', "") for word in re.findall(r'(?:"[^"]*"|[^\s"])+', named)]
    return [shutil.which("appcmd") or rf"{os.environ.get('SystemRoot')}\System32\inetsrv\appcmd.exe"]


def register(executable: str, arguments: str) -> None:
    """Let FastCGI start the application, and pass what this task knows of the instance; once."""
    section = "/section:system.webServer/fastCgi"
    listed = subprocess.run([*appcmd(), "list", "config", section], capture_output=True, check=False)
    text = (listed.stdout or b"<nothing />").decode("oem" if os.name == "nt" else "utf-8", "replace")
    if listed.returncode:
        raise StepError(f"appcmd cannot list its FastCGI applications: {text.strip()}")
    known = ElementTree.fromstring(text).iter("application")
    key = (executable, arguments)
    application = next((one for one in known if (one.get("fullPath"), one.get("arguments")) == key), None)
    named = f"[fullPath='{executable}',arguments='{arguments}'"
    if application is None:
        run(*appcmd(), "set", "config", section, f"/+{named},signalBeforeTerminateSeconds='30']", "/commit:apphost")
    variables = application.iter("environmentVariable") if application is not None else ()
    there = {one.get("name"): one.get("value") for one in variables}
    changes = list(variable_changes(f"{named}].environmentVariables.", there))
    if changes:
        run(*appcmd(), "set", "config", section, *changes, "/commit:apphost")
    if application is not None and not changes:
        log("the application is registered with FastCGI already")


def variable_changes(place: str, there: dict[str | None, str | None]) -> Iterator[str]:
    """What appcmd is told so that the application gets the variables of PASSED."""
    for name in PASSED:
        value = os.environ.get(name)
        if value is None or there.get(name) == value:
            continue
        if name in there:
            yield f"/{place}[name='{name}'].value:{value}"
        else:
            yield f"/+{place}[name='{name}',value='{value}']"


def sites() -> list[Path]:
    """The folder of each site, as RoleModel.xml in the role's root names them."""
    root = Path(os.environ["RoleRoot"] + os.sep) if "RoleRoot" in os.environ else APPROOT.parent
    model = ElementTree.parse(root / "RoleModel.xml").getroot()
    named = [element.get("physicalDirectory", "") for element in model.iter() if element.tag.endswith("}Site")]
    return [root / place.replace("\\", "/") for place in named or ["approot"]]


def configure_site(site: Path, processor: str) -> None:
    """Write the site's web.config for this host; what was there first is kept as web.config.bak."""
    target, backup = site / "web.config", site / "web.config.bak"
    variant = site / ("web.emulator.config" if EMULATED else "web.cloud.config")
    source = variant if variant.exists() else target
    if not source.exists():
        raise StepError(f"{target} is not there: the site needs one that names its application in WSGI_HANDLER")
    try:
        content = with_processor(source.read_bytes(), processor)
    except (expat.ExpatError, UnicodeError, LookupError) as error:
        raise StepError(f"{source} is no XML: {error}") from None
    before = target.read_bytes() if target.exists() else None
    if content == before:
        log(f"{target} is right already")
        return
    if before is not None and not backup.exists():
        write_whole(backup, before)
    write_whole(target, content)
    log(f"wrote {target} as {source.name} says, for {processor}")


def with_processor(content: bytes, processor: str) -> bytes:
    """A web.config whose Python handlers have this scriptProcessor; every other byte stays as it is."""
    codec = codec_of(content)
    text = content.decode(codec).encode()
    starts: list[int] = []
    open_tags: list[str] = []
    parser = expat.ParserCreate("utf-8")

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag == "add" and open_tags[-1:] == ["handlers"] and attributes.get("name", "").lower() == HANDLER.lower():
            starts.append(parser.CurrentByteIndex)
        open_tags.append(tag)

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _tag: open_tags.pop()
    parser.Parse(text, True)
    for place in reversed(starts):
        text = with_attribute(text, place, "scriptProcessor", processor)
    if not starts:
        log(f"no handler is called {HANDLER}, so none is given a scriptProcessor")
    return text.decode().encode(codec, "xmlcharrefreplace")


def with_attribute(text: bytes, place: int, name: str, value: str) -> bytes:
    """The text of an XML file in which the start tag at a place has an attribute of that value."""
    escaped = escape(value, {'"': "&quot;"})
    written = f'{name}="{escaped}"'.encode()
    end = next(TAG.finditer(text, place)).end()
    there = next((each for each in ATTRIBUTE.finditer(text, place, end) if each[1] == name.encode()), None)
    if there is None:
        return text[:end] + b" " + written + text[end:]
    return text[: there.start()] + written + text[there.end() :]


def codec_of(content: bytes) -> str:
    """How the bytes of an XML file are to be read: by its mark, its declaration, or else as UTF-8."""
    for mark, codec in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if content.startswith(mark):
            return codec
    declared = re.match(rb"""<\?xml[^>]*?encoding\s*=\s*["']([\w.-]+)""", content)
    return declared[1].decode() if declared else "utf-8"


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        main()
    except (StepError, OSError, subprocess.CalledProcessError, ElementTree.ParseError) as error:
        log(f"failed: {error}")
        sys.exit(1)
