"""From a service to wheels, and from wheels to one bundle; from templates to support files."""
