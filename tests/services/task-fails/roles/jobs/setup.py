import sys

sys.exit("no disk")
