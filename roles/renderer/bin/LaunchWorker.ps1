# Runs LaunchWorker.py with the Python that ConfigureCloudService installed. To customise how the worker is started, change
# that file: it also runs in the emulator, which does not read this one. The program and its arguments stand in
# ServiceDefinition.csdef, Runtime/EntryPoint/ProgramEntryPoint.
$ErrorActionPreference = 'Stop'
$found = Join-Path $PSScriptRoot '..\.rolepack\python.txt'
$python = $env:PYTHON
if (Test-Path $found) {
    $python = Get-Content $found -Encoding UTF8
}
if (-not $python) {
    throw 'ConfigureCloudService has not prepared this role. Look into ConfigureCloudService.ps1.log, or set PYTHON.'
}
& $python -u (Join-Path $PSScriptRoot 'LaunchWorker.py') @args
exit $LASTEXITCODE
