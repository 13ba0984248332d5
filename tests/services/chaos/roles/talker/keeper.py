"""A background task that runs on."""

import time

print("keeping", flush=True)
while True:
    time.sleep(60)
