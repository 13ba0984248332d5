"""Sites of a web role in the emulator: several of them, with host headers, virtual applications and directories."""

import json
import subprocess

import pytest
from conftest import add_role, get, one
from hosted import Hosted, config, lay

from packager import blueprint
from packager.scaffold import Templates

SITES = """<Sites>
  <Site name="Web">
    <VirtualApplication name="shop" physicalDirectory="shop">
      <VirtualDirectory name="pictures" physicalDirectory="media" />
    </VirtualApplication>
    <VirtualDirectory name="media" physicalDirectory="media" />
    <Bindings><Binding name="a" endpointName="Endpoint1" /></Bindings>
  </Site>
  <Site name="Admin" physicalDirectory="admin">
    <Bindings><Binding name="b" endpointName="Endpoint1" hostHeader="admin.example" /></Bindings>
  </Site>
</Sites>"""
SAYS = """
def app(environ, start):
    start("200 OK", [])
    return [("{} %s %s" % (environ["SCRIPT_NAME"], environ["PATH_INFO"])).encode()]
"""
STATIC = (
    '<configuration><system.webServer><handlers><clear /><add name="s" path="*" verb="*" modules="StaticFileModule" />'
)
STATIC += "</handlers></system.webServer></configuration>"


@pytest.fixture
def site(service, rolepack):
    """The service `pair` with more sites, and its web role as a client sees it."""
    place = service("pair")
    path = place / "ServiceDefinition.csdef"
    text = path.read_text()
    begin, end = text.index("<Sites>"), text.index("</Sites>") + len("</Sites>")
    path.write_text(text[:begin] + SITES + text[end:])
    lay(place / "shop", {"shop_app.py": SAYS.replace("{}", "shop"), "web.config": config("shop_app.app", MOUNT)})
    lay(place / "admin", {"admin_app.py": SAYS.replace("{}", "admin"), "web.config": config("admin_app.app")})
    lay(place / "media", {"a.txt": "a picture", "web.config": STATIC})
    rolepack.ok("emulate", "--role", "web", "--detach", cwd=place)
    url = rolepack.status(place)["endpoints"]["web/Endpoint1"]
    return Hosted(place, int(url.rpartition(":")[2]), place)


MOUNT = '<add key="SCRIPT_NAME" value="/shop" />'


def test_each_address_leads_to_its_application_or_folder(site):
    assert json.loads(site.get("/"))["colour"] == "green"
    assert site.get("/shop/basket") == "shop /shop /basket"
    assert json.loads(site.get("/shopping"))["colour"] == "green"
    assert site.get("/media/a.txt") == site.get("/shop/pictures/a.txt") == "a picture"
    assert site.ask("/media/b.txt").status == 404


def test_a_host_header_leads_to_its_site(site):
    assert site.ask("/x", Host="admin.example").text == "admin  /x"
    assert site.ask("/x", Host="ADMIN.example:80").text == "admin  /x"
    assert json.loads(site.ask("/", Host="another.example").text)["colour"] == "green"


ASYNCHRONOUS = """
import asyncio

import fastapi

app = fastapi.FastAPI()


@app.get("/")
async def home(request: fastapi.Request) -> dict:
    return {"client": request.client.host, "path": request.url.path}


@app.get("/health")
async def health() -> str:
    return "ok"


@app.websocket("/echo")
async def echo(socket: fastapi.WebSocket) -> None:
    await socket.accept()
    await socket.send_text("you said " + await socket.receive_text())
    await socket.close()
"""
CLIENT = """
import sys
from websockets.sync.client import connect

with connect(sys.argv[1]) as socket:
    socket.send("hello")
    print(socket.recv())
"""


@pytest.mark.network
def test_a_role_of_fastapi_answers_and_has_websockets(tmp_path, rolepack):
    place = tmp_path / "shop"
    blueprint.write(blueprint.plan_service(place, "shop", [], Templates()))
    add_role(place, "web", "web", "wsgi")
    lay(place / "roles/web", {"app.py": ASYNCHRONOUS, "requirements.txt": "fastapi\nwebsockets\n"})
    path = place / "roles/web/web.config"
    path.write_text(path.read_text().replace("app.wsgi_app", "app.app"))
    rolepack.ok("emulate", "--detach", cwd=place)
    status = rolepack.status(place)
    url = status["endpoints"]["web/Endpoint1"]
    assert json.loads(get(url)) == {"client": "127.0.0.1", "path": "/"}
    (python,) = place.glob(".rolepack/environments/web/*/bin/python")
    argv = [python, "-c", CLIENT, url.replace("http", "ws") + "/echo"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "you said hello\n", done.stderr
    assert one(status, "web_IN_0")["restarts"] == 0
