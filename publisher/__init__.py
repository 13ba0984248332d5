"""From a bundle to the Windows machines that serve it, over WinRM."""
