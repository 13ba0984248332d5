"""The start of an app as the container of App Service on Linux does it: what would run, and running it."""
