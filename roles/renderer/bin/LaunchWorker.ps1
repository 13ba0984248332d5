# Runs LaunchWorker.py with the Python that ConfigureCloudService installed: customise that file, it also runs in the
# emulator. The program and its arguments stand in ServiceDefinition.csdef, Runtime/EntryPoint/ProgramEntryPoint.
$ErrorActionPreference = 'Stop'
$python = Join-Path $PSScriptRoot '..\env\Scripts\python.exe'
if (-not (Test-Path $python)) {
    $python = $env:PYTHON
}
if (-not $python) {
    $python = Join-Path $PSScriptRoot 'python\tools\python.exe'
}
& $python -u (Join-Path $PSScriptRoot 'LaunchWorker.py') @args
exit $LASTEXITCODE
