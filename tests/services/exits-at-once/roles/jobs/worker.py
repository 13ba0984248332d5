import sys

print("bad start")
sys.exit(3)
