"""Prints its environment and arguments, starts a child of its own, and echoes on its endpoint."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

here = json.loads(Path(os.environ["ROLE_ENVIRONMENT"]).read_text(encoding="utf-8"))["current"]
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
about = {"environ": dict(os.environ), "argv": sys.argv[1:], "cwd": os.getcwd(), "grandchild": grandchild.pid}
print("about", json.dumps(about))
print("an error line", file=sys.stderr)
endpoint = here["endpoints"]["Echo"]
with socket.create_server((endpoint["address"], endpoint["port"])) as server:
    while True:
        connection, _ = server.accept()
        with connection:
            connection.sendall(connection.recv(1000))
