Start-Process python -ArgumentList $args
