"""What a container asks before it starts its app again: `python -P -m rolepack.again APP WANTED`."""

import json
import sys
from pathlib import Path

from cloudservice.errors import ServiceError
from cloudservice.plain import to_plain
from rolepack import linux_app


def main(app: Path, wanted: linux_app.Wanted) -> int:
    """Print what is to run now; the exit code."""
    try:
        print(json.dumps(to_plain(linux_app.as_it_is_now(app, wanted))))
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), linux_app.Wanted(*json.loads(sys.argv[2]))))
