"""Gives a host the Python that rolepack's own programs run with: the one thing that PowerShell has to do."""

import base64
import re
import zipfile
from pathlib import Path

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown
from cloudservice.tells import Tell
from publisher.agent import loader
from publisher.escaped import escaped
from publisher.hosts import Host
from publisher.remote import BrokenError, Remote

VERSION = "3.12.10"
"""The last Python 3.12 that its publisher has built for Windows; https://www.nuget.org/packages/python has it."""
_LINE = 60_000
"""Characters of base64 in a line; PowerShell reads a line at a time."""
_SCRIPT = r"""
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$root = '{root}'
$mark = Join-Path $root '{mark}'
if (-not (Test-Path $root)) {{
    New-Item -ItemType Directory $root | Out-Null
    icacls.exe $root /setowner '*S-1-5-32-544' /q | Out-Null
    icacls.exe $root /inheritance:r /grant:r {rights} /q | Out-Null
    New-Item -ItemType File $mark | Out-Null
}}
if (-not (Test-Path $mark)) {{
    throw "$root is there already, and is not rolepack's: name another folder as root in hosts.yaml"
}}
$package = Join-Path $root 'python.nupkg'
if ({is_sent}) {{
    $file = [IO.File]::Create($package)
    while (($line = [Console]::In.ReadLine()) -ne '') {{
        $bytes = [Convert]::FromBase64String($line)
        $file.Write($bytes, 0, $bytes.Length)
    }}
    $file.Close()
}}
else {{
    [Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor 3072
    (New-Object Net.WebClient).DownloadFile('https://www.nuget.org/api/v2/package/python/{version}', $package)
}}
$part = Join-Path $root 'python.part'
$folder = Join-Path $root 'python'
foreach ($old in @($part, $folder)) {{
    if (Test-Path $old) {{
        Remove-Item -Recurse -Force $old
    }}
}}
Add-Type -AssemblyName System.IO.Compression.FileSystem
[IO.Compression.ZipFile]::ExtractToDirectory($package, $part)
if ((Get-AuthenticodeSignature (Join-Path $part 'tools/python.exe')).Status -ne 'Valid') {{
    throw 'python.exe in the package is not signed, or was changed'
}}
Move-Item $part $folder
Remove-Item $package
Write-Output 'prepared'
"""


def script(host: Host, is_sent: bool) -> str:
    """What PowerShell does: take the package from its input, or fetch it, and unpack it under a name that is whole."""
    truth = "$true" if is_sent else "$false"
    rights = " ".join(f"'{one}'" for one in loader.RIGHTS)
    return _SCRIPT.format(root=host.root, mark=loader.MARK, rights=rights, is_sent=truth, version=VERSION).strip()


def install(host: Host, password: str | None, package: Path | None, tell: Tell) -> None:
    """Give a host Python, of a package that lies here or of the one that it fetches; ServiceError if that fails."""
    if package is not None:
        check(package)
    whence = f"of {shown(package)}" if package else f"{VERSION}, which it fetches"
    tell(f"{host.name}: gets Python {whence}, for rolepack's own programs, in {host.root}\\python")
    encoded = base64.b64encode(script(host, package is not None).encode("utf-16-le")).decode()
    remote = Remote(host, password)
    try:
        remote.open()
        remote.start(f"powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass -EncodedCommand {encoded}")
        if package is not None:
            remote.send(b"".join(_lines(package)) + b"\r\n")
        printed, code = _ended(remote)
    except BrokenError as error:
        raise ServiceError(_fault(host, str(error))) from None
    finally:
        remote.close()
    if code or "prepared" not in printed:
        told = escaped(re.sub(r"\s+", " ", printed))[-300:] or "PowerShell says nothing"
        raise ServiceError(_fault(host, told))


def check(package: Path) -> None:
    """ServiceError if a file is no package of Python for Windows."""
    try:
        with zipfile.ZipFile(package) as archive:
            if "tools/python.exe" in archive.namelist():
                return
    except (OSError, zipfile.BadZipFile):
        pass
    wrong = "it is no NuGet package of Python: it has no tools/python.exe"
    raise ServiceError(Fault(shown(package), wrong, "Fetch one from https://www.nuget.org/packages/python"))


def _lines(package: Path) -> list[bytes]:
    encoded = base64.b64encode(package.read_bytes())
    return [encoded[at : at + _LINE] + b"\r\n" for at in range(0, len(encoded), _LINE)]


def _ended(remote: Remote) -> tuple[str, int]:
    """All that a command prints, and its exit code."""
    printed = b""
    while True:
        out, err, code = remote.receive()
        printed += out + err
        if code is not None:
            return printed.decode("utf-8", "replace"), code


def _fault(host: Host, wrong: str) -> Fault:
    remedy = "Mend that, give a package with --with-python, or name a Python 3.11 or newer there as `python`"
    return Fault(f"host '{host.name}', preparing", wrong, remedy)
