import time

print("calculating")
while True:
    time.sleep(1)
