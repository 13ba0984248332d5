"""What a WSGI_HANDLER of App Service's first Python sites calls, for sites that have no such module of their own.

Both functions give the application that WSGI_ALT_VIRTUALENV_HANDLER names, with the packages of the virtual environment
that WSGI_ALT_VIRTUALENV_ACTIVATE_THIS is in.
"""

import os
import site
import sys
from typing import Any

_NAME = "WSGI_ALT_VIRTUALENV_ACTIVATE_THIS"
activate_this = os.environ.get(_NAME)
if not activate_this:
    raise Exception(f"{_NAME} is not set")


def get_virtualenv_handler() -> Any:
    """The application, in an environment whose script activate_this.py is named."""
    with open(str(activate_this), encoding="utf-8") as script:  # noqa: PTH123
        code = compile(script.read(), str(activate_this), "exec")
    exec(code, {"__file__": activate_this})  # noqa: S102 - that is what the script is for
    return _application()


def get_venv_handler() -> Any:
    """The application, in an environment whose interpreter is named."""
    sys.executable = str(activate_this)
    before, sys.path[:] = list(sys.path), []
    site.main()
    sys.path.insert(0, "")
    sys.path += [entry for entry in before if entry not in sys.path]
    return _application()


def _application() -> Any:
    resolve = sys.modules["__main__"].resolve
    return resolve(os.environ.get("WSGI_ALT_VIRTUALENV_HANDLER"))
