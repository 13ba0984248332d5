# Runs LaunchWorker.py with the Python that ConfigureCloudService installed. To customise how the worker is started, change
# that file: it also runs in the emulator, which does not read this one. The program and its arguments stand in
# ServiceDefinition.csdef, Runtime/EntryPoint/ProgramEntryPoint.
$ErrorActionPreference = 'Stop'
$python = Join-Path $PSScriptRoot '..\env\Scripts\python.exe'
if (-not (Test-Path $python)) {
    $python = $env:PYTHON
}
foreach ($name in @('tools\python.exe', 'python.exe')) {
    if (-not $python) {
        $path = Join-Path (Join-Path $PSScriptRoot 'python') $name
        if (Test-Path $path) {
            $python = $path
        }
    }
}
if (-not $python) {
    throw 'There is no Python. Look into ConfigureCloudService.ps1.log, or set PYTHON in ServiceDefinition.csdef.'
}
& $python -u (Join-Path $PSScriptRoot 'LaunchWorker.py') @args
exit $LASTEXITCODE
