"""A simple task, which is killed at times."""

import time

time.sleep(0.05)
print("prepared")
