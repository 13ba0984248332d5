"""The builds of apps for App Service: on Linux as its build container makes them, on Windows as its deployment does."""
