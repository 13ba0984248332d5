"""What a machine does when it starts: nothing of before runs, the tasks of the boot and the sites do.

`boot down` only ends what runs.
"""

import iis
import machine
import schtasks


def main(words: list[str]) -> int:
    """End what runs, and start what is to run."""
    machine.end_all()
    if words != ["down"]:
        schtasks.boot()
        with machine.locked():
            iis.settle()
    return 0
