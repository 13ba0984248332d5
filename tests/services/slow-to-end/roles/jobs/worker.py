"""Takes its time to save when it is asked to end."""

import signal
import sys
import time


def end(*_):
    time.sleep(1)
    print("saved", flush=True)
    sys.exit(0)


signal.signal(signal.SIGTERM, end)
print("at work", flush=True)
while True:
    time.sleep(60)
