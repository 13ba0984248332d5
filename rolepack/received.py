"""What the git remote of an app runs when something was pushed: `python -P -m rolepack.received APP [RUNTIME]`."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cloudservice import app_settings
from cloudservice.errors import ServiceError
from packager.appservice import building, repository, runtimes

_FAILED = "Error - Changes committed to remote repository but deployment to website failed."


def main(app: Path, runtime: str | None, lines: Sequence[str]) -> int:
    """Deploy what was pushed, and tell the pusher how that goes; the exit code."""
    place = Path(os.environ.get("GIT_DIR", ".")).resolve()
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        del os.environ[name]
    try:
        wanted = app_settings.environment(app).get("DEPLOYMENT_BRANCH")
        one = repository.pushed(place, list(lines), wanted)
        if one is None:
            _say(f"Nothing is deployed: that is done for {wanted or 'master and main'}.")
            return 0
        if one.is_skipped:
            _say(f"Deployment of {one.commit[:10]} is skipped, as its message asks.")
            return 0
        _say(f"Updating branch '{one.branch}'.")
        _say(f"Preparing deployment for commit id '{one.commit[:10]}'.")
        version = runtimes.asked_by_stack(runtime) if runtime else None
        order = building.Order(app, None, version, {}, pushed=one)
        building.deploy(order, _say, lambda text, _done, _total: _say(f"{text} ..."))
    except repository.SupersededError as error:
        _say(str(error))
        return 0
    except ServiceError as error:
        _say(str(error))
        _say(_FAILED)
        return error.exit_code
    _say("Deployment successful.")
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None, sys.stdin.read().splitlines()))
