# Finds Python or installs it, then runs ConfigureCloudService.py: customise that file, it also runs in the emulator.
# Set PYTHON in the startup task's Environment (ServiceDefinition.csdef) to use a Python of your own.
$ErrorActionPreference = 'Stop'
$python = $env:PYTHON
if ($python -and -not (Test-Path $python)) {
    throw "PYTHON names $python, which is not there. Correct it in ServiceDefinition.csdef, or remove it."
}
if (-not $python) {
    $python = Join-Path $PSScriptRoot 'python\tools\python.exe'
}
if (-not (Test-Path $python)) {
    $package = Join-Path $PSScriptRoot 'python.zip'
    $part = Join-Path $PSScriptRoot 'python.part'
    $folder = Join-Path $PSScriptRoot 'python'
    foreach ($old in @($part, $folder)) {
        if (Test-Path $old) {
            Remove-Item -Recurse -Force $old
        }
    }
    [Net.ServicePointManager]::SecurityProtocol = [Net.SecurityProtocolType]::Tls12
    $client = New-Object Net.WebClient
    $client.DownloadFile('https://www.nuget.org/api/v2/package/python/3.12.10', $package)
    Add-Type -AssemblyName System.IO.Compression.FileSystem
    [IO.Compression.ZipFile]::ExtractToDirectory($package, $part)
    Move-Item $part $folder
}
& $python -u (Join-Path $PSScriptRoot 'ConfigureCloudService.py')
exit $LASTEXITCODE
