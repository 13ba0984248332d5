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
DJANGO = """
import asyncio, os

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="s")


async def home(request):
    await asyncio.sleep(0)
    told = {"client": request.META["REMOTE_ADDR"], "path": request.path, "body": request.body.decode()}
    return JsonResponse(told | {"secure": request.is_secure(), "host": request.get_host()})


async def pieces():
    for number in range(3):
        yield f"piece {number}\\n"
        await asyncio.sleep(0)


async def health(request):
    return JsonResponse({})


urlpatterns = [path("", home), path("health", health), path("pieces", lambda request: StreamingHttpResponse(pieces()))]
app = get_asgi_application()
"""
CLIENT = """
import sys
from websockets.sync.client import connect

with connect(sys.argv[1]) as socket:
    socket.send("hello")
    print(socket.recv())
"""


def asynchronous(place, app, requirements):
    """A service with a web role whose application is one of ASGI."""
    blueprint.write(blueprint.plan_service(place, "shop", [], Templates()))
    add_role(place, "web", "web", "wsgi")
    lay(place / "roles/web", {"app.py": app, "requirements.txt": requirements})
    path = place / "roles/web/web.config"
    path.write_text(path.read_text().replace("app.wsgi_app", "app.app"))


@pytest.mark.network
def test_a_role_of_django_s_asgi_answers(tmp_path, rolepack):
    asynchronous(tmp_path / "shop", DJANGO, "django\n")
    rolepack.ok("emulate", "--detach", cwd=tmp_path / "shop")
    url = rolepack.status(tmp_path / "shop")["endpoints"]["web/Endpoint1"]
    told = json.loads(get(url))
    assert told == {"client": "127.0.0.1", "path": "/", "body": "", "secure": False, "host": url.partition("//")[2]}
    assert get(f"{url}/pieces") == b"piece 0\npiece 1\npiece 2\n"


@pytest.mark.network
def test_a_role_of_fastapi_answers_and_has_websockets(tmp_path, rolepack):
    place = tmp_path / "shop"
    asynchronous(place, ASYNCHRONOUS, "fastapi\nwebsockets\n")
    rolepack.ok("emulate", "--detach", cwd=place)
    status = rolepack.status(place)
    url = status["endpoints"]["web/Endpoint1"]
    assert json.loads(get(url)) == {"client": "127.0.0.1", "path": "/"}
    (python,) = place.glob(".rolepack/environments/web/*/bin/python")
    argv = [python, "-c", CLIENT, url.replace("http", "ws") + "/echo"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "you said hello\n", done.stderr
    assert one(status, "web_IN_0")["restarts"] == 0
