# Finds Python, or installs it, and runs ConfigureCloudService.py. To customise what a host gets, change that file: it also
# runs in the emulator, which does not read this one.
# The Python is, in this order: what PYTHON names (set it in the startup task's Environment in ServiceDefinition.csdef); a
# package python*.nupkg or python*.zip beside this file (`invoke package --with-python FILE` puts one there, for hosts
# without a network); else the NuGet package of the version that the role's wheels are for.
$ErrorActionPreference = 'Stop'
$version = '3.12.10'
$lock = Join-Path $PSScriptRoot '..\requirements.lock'
if (Test-Path $lock) {
    $line = Select-String -Path $lock -Pattern '^# python (\S+)' | Select-Object -First 1
    if ($line) {
        $version = $line.Matches[0].Groups[1].Value
    }
}
# What is made on this machine lies in a folder that no file of the role is in.
$own = Join-Path $PSScriptRoot '..\.rolepack'
$folder = Join-Path $own 'python'
function Find-Python {
    foreach ($name in @('tools\python.exe', 'python.exe')) {
        $path = Join-Path $folder $name
        if (Test-Path $path) {
            return $path
        }
    }
}
$python = $env:PYTHON
if ($python -and -not (Test-Path $python)) {
    throw "PYTHON names $python, which is not there. Correct it in ServiceDefinition.csdef, or remove it."
}
if (-not $python) {
    $python = Find-Python
}
if (-not $python) {
    $package = Get-ChildItem $PSScriptRoot | Where-Object { $_.Name -match '^python.*\.(nupkg|zip)$' } | Select-Object -First 1 -ExpandProperty FullName
    if (-not $package) {
        $id = 'python'
        if ($env:PROCESSOR_ARCHITECTURE -eq 'ARM64') {
            $id = 'pythonarm64'
        }
        # Older systems do not offer TLS 1.2 (3072) unless told to.
        [Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor 3072
        $package = Join-Path $env:TEMP "$id.$version.nupkg"
        $client = New-Object Net.WebClient
        $client.DownloadFile("https://www.nuget.org/api/v2/package/$id/$version", $package)
    }
    # Under its name there is never half a Python.
    $part = Join-Path $own 'part'
    foreach ($old in @($part, $folder)) {
        if (Test-Path $old) {
            Remove-Item -Recurse -Force $old
        }
    }
    New-Item -ItemType Directory -Force $own | Out-Null
    Add-Type -AssemblyName System.IO.Compression.FileSystem
    [IO.Compression.ZipFile]::ExtractToDirectory($package, $part)
    Move-Item $part $folder
    $python = Find-Python
}
if (-not $python) {
    throw "There is no tools\python.exe or python.exe in $folder. Put a full Python package beside this file."
}
& $python -u (Join-Path $PSScriptRoot 'ConfigureCloudService.py')
exit $LASTEXITCODE
