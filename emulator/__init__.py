"""A service on this machine: launches, processes, logs; hosts/ are the programs that a web role runs under."""
