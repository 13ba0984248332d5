"""The renderer: draws small pictures of waves and serves them on its internal endpoint."""

import io
import json
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE = 256


def role_environment() -> dict[str, Any]:
    """What the fabric says about this instance and its peers, as it is now."""
    return json.loads(Path(os.environ["ROLE_ENVIRONMENT"]).read_text(encoding="utf-8"))


def draw(seed: int) -> bytes:
    """A picture of SIDE x SIDE pixels as PNG, the same for the same seed."""
    chance = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    channels = [
        np.sin(a * x + b * y + c) + np.sin(d * np.hypot(x - e, y - f))
        for a, b, c, d, e, f in chance.uniform((2, 2, 0, 8, 0, 0), (14, 14, 6, 30, 1, 1), (3, 6))
    ]
    pixels = ((np.dstack(channels) + 2) * 63.75).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Answers GET /<seed>.png."""

    def do_GET(self) -> None:
        name = self.path.strip("/").removesuffix(".png")
        if not name.isdecimal():
            self.send_error(404)
            return
        picture = draw(int(name))
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Content-Length", str(len(picture)))
        self.end_headers()
        self.wfile.write(picture)
        print(f"drew picture {name}, {len(picture)} bytes", flush=True)

    def log_message(self, *_: object) -> None:
        """The line about the picture is enough."""


def main() -> None:
    endpoint = role_environment()["current"]["endpoints"]["Render"]
    server = ThreadingHTTPServer((endpoint["address"], endpoint["port"]), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"drawing at {endpoint['address']}:{endpoint['port']}", flush=True)
    server.serve_forever()
    print("stopped drawing", flush=True)


if __name__ == "__main__":
    main()
