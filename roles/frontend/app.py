"""The gallery's page: which instance answers, the title from the configuration, and a picture from the renderer."""

import json
import os
import random
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from flask import Flask, Response, render_template, request

TRIES = 100
app = Flask(__name__)
wsgi_app = app.wsgi_app


def role_environment() -> dict[str, Any]:
    """What the fabric says about this instance and its peers, as it is now."""
    return json.loads(Path(os.environ["ROLE_ENVIRONMENT"]).read_text(encoding="utf-8"))


@app.get("/")
def home() -> str:
    current = role_environment()["current"]
    seed = random.randrange(10_000)
    return render_template("home.html", title=current["settings"]["Title"], instance=current["id"], seed=seed)


@app.get("/picture.png")
def picture() -> Response:
    """Pass on a picture of any renderer that there is; one that has just started may not listen yet."""
    seed = abs(request.args.get("seed", 0, type=int))
    for _ in range(TRIES):
        renderer = random.choice(role_environment()["roles"]["renderer"]["instances"])
        endpoint = renderer["endpoints"]["Render"]
        try:
            with urlopen(f"http://{endpoint['address']}:{endpoint['port']}/{seed}.png", timeout=10) as answer:
                return Response(answer.read(), mimetype="image/png")
        except OSError:  # it does not listen, or it ended just now
            time.sleep(0.1)
    return Response("no renderer answers", 503, mimetype="text/plain")
