"""The page of a site in which no app was found."""

from flask import Flask

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Your web app is running and waiting for your content</title>
<style>
body { font: 18px/1.5 system-ui, sans-serif; margin: 0; color: #223; background: #f4f7fb; }
main { max-width: 42rem; margin: 12vh auto; padding: 2.5rem 3rem; background: #fff; border-radius: 12px; }
h1 { font-size: 1.6rem; line-height: 1.25; margin-top: 0; }
code { background: #eef2f8; padding: .1em .35em; border-radius: 4px; }
</style>
</head>
<body>
<main>
<h1>The site is running, and no app was found in it</h1>
<p>This is the default page. It is served when there is no start-up command and neither Django, FastAPI nor Flask was
recognised by its files: for Django a <code>wsgi.py</code> in a folder of the root, for Flask one of
<code>application.py</code>, <code>app.py</code>, <code>run.py</code>, <code>index.py</code>, <code>server.py</code> and
<code>wsgi.py</code> in the root.</p>
<p><code>webapp-run DIR --print-command</code> says what was looked for and found.</p>
</main>
</body>
</html>
"""

app = Flask(__name__)


@app.get("/", defaults={"path": ""})
@app.get("/<path:path>")
def page(path: str) -> str:  # noqa: ARG001 - every address has it
    """The one page."""
    return _PAGE
