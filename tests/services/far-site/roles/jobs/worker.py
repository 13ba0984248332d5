"""Waits to be ended."""

import signal
import sys
import threading

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("at work", flush=True)
threading.Event().wait()
