@echo off
rem ps.cmd SCRIPT.ps1 ARGUMENTS: runs a PowerShell script that lies beside this file.
rem Its output and errors, in their order, are added to %DiagnosticStore%\LogFiles\SCRIPT.ps1.log; its exit code is passed on.
rem To customise what the role does, change ConfigureCloudService.py or LaunchWorker.py: they also run off Windows.
setlocal
if "%~1"=="" (
    echo ps.cmd: no script is named. Write: ps.cmd SCRIPT.ps1 ARGUMENTS 1>&2
    exit /b 2
)
cd /d "%~dp0"
if not defined DiagnosticStore set "DiagnosticStore=%TEMP%"
if not exist "%DiagnosticStore%\LogFiles" mkdir "%DiagnosticStore%\LogFiles"
"%SystemRoot%\System32\WindowsPowerShell\v1.0\powershell.exe" -NoProfile -NonInteractive -ExecutionPolicy Bypass -File %* >>"%DiagnosticStore%\LogFiles\%~nx1.log" 2>&1
exit /b %ERRORLEVEL%
