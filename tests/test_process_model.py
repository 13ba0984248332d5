"""The processes of an application: one request at a time each, recycled, timed out, replaced."""

import threading
import time

import pytest
from conftest import until
from hosted import config, hosted, lay, limits

APP = """
import os, threading, time
import ctypes

LOCK = threading.Lock()

def app(environ, start):
    path = environ["PATH_INFO"]
    assert LOCK.acquire(blocking=False), "two requests at a time"
    try:
        if path == "/slow":
            time.sleep(1)
        elif path == "/exit":
            os._exit(9)
        elif path == "/crash":
            ctypes.string_at(0)
        elif path == "/hang":
            time.sleep(3600)
        elif path == "/dripping":
            start("200 OK", [])
            return drip()
        start("200 OK", [("X-Pid", str(os.getpid()))])
        return [path.encode()]
    finally:
        LOCK.release()

def drip():
    for _ in range(8):
        time.sleep(0.4)
        yield b"."
"""


@pytest.fixture
def site(tmp_path, request):
    given = getattr(request, "param", {})
    with hosted(lay(tmp_path / "site", {"app.py": APP, "web.config": config(server=limits(**given))})) as made:
        yield made


def ask_all(site, paths):
    """Ask at the same time; the answers, and the seconds that all took."""
    answers = [None] * len(paths)

    def ask(number):
        answers[number] = site.ask(paths[number])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(paths))]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers, time.monotonic() - began


def test_two_requests_run_in_two_processes_and_a_third_waits(site):
    ask_all(site, ["/", "/"])
    answers, taken = ask_all(site, ["/slow"] * 3)
    assert [answer.status for answer in answers] == [200] * 3
    assert len({answer.headers["X-Pid"] for answer in answers}) == 2
    assert taken > 2


@pytest.mark.parametrize("site", [{"maxInstances": 1}], indirect=True)
def test_one_process_does_one_thing_after_the_other(site):
    answers, taken = ask_all(site, ["/slow"] * 2 + ["/"] * 5)
    assert {answer.status for answer in answers} == {200}
    assert len({answer.headers["X-Pid"] for answer in answers}) == 1
    assert taken > 2


@pytest.mark.parametrize("site", [{"instanceMaxRequests": 7}], indirect=True)
def test_processes_are_recycled_and_no_request_is_lost(site):
    found = {}
    for _ in range(20):
        answers, _ = ask_all(site, ["/"] * 4)
        assert [answer.status for answer in answers] == [200] * 4
        for answer in answers:
            found[answer.headers["X-Pid"]] = found.get(answer.headers["X-Pid"], 0) + 1
    assert len(found) >= 80 // 7
    assert max(found.values()) <= 7


@pytest.mark.parametrize(("path", "how"), [("/exit", "exit code 9"), ("/crash", "killed by SIGSEGV")])
def test_a_process_that_dies_costs_its_request_alone(site, path, how):
    ask_all(site, ["/", "/"])
    answers, _ = ask_all(site, [path, "/slow", "/", "/", "/"])
    assert [answer.status for answer in answers] == [500, 200, 200, 200, 200]
    assert answers[0].text == f"The FastCGI process exited unexpectedly ({how}).\n"
    assert f"GET {path}: The FastCGI process exited unexpectedly ({how})." in site.output


@pytest.mark.parametrize("site", [{"activityTimeout": 1}], indirect=True)
def test_a_process_that_hangs_is_ended_and_others_are_not_disturbed(site):
    ask_all(site, ["/", "/"])
    answers, taken = ask_all(site, ["/hang", "/", "/", "/"])
    assert [answer.status for answer in answers] == [500, 200, 200, 200]
    assert "silent for 1 s (activityTimeout)" in answers[0].text
    assert taken < 10
    assert site.ask("/dripping").body == b"." * 8, "every piece is a sign of life"


@pytest.mark.parametrize("site", [{"requestTimeout": 1}], indirect=True)
def test_a_request_that_takes_too_long_is_ended_although_it_says_something(site):
    answer = site.ask("/dripping")
    assert answer.status == 500
    assert "has taken more than 1 s (requestTimeout)" in answer.text
    assert site.get() == "/"


@pytest.mark.parametrize("site", [{"queueLength": 2, "maxInstances": 1}], indirect=True)
def test_a_queue_that_is_full_refuses(site):
    site.get()
    answers, _ = ask_all(site, ["/slow"] * 6)
    found = sorted(answer.status for answer in answers)
    assert found in ([200] * 3 + [503] * 3, [200] * 2 + [503] * 4)


@pytest.mark.parametrize("site", [{"idleTimeout": 1}], indirect=True)
def test_an_idle_process_ends_and_the_next_request_starts_one(site):
    first = site.ask("/").headers["X-Pid"]
    until(lambda: site.ask("/").headers["X-Pid"] == first)
    time_over = time.monotonic() + 3

    def is_over():
        return time.monotonic() > time_over

    until(is_over)
    assert site.ask("/").headers["X-Pid"] != first


def test_a_site_that_is_told_to_end_finishes_what_has_begun(site):
    site.get()
    answers = []
    thread = threading.Thread(target=lambda: answers.append(site.ask("/slow")))
    thread.start()
    until(lambda: len(list((site.logs / "W3SVC1").iterdir())))
    time_over = time.monotonic() + 0.3
    until(lambda: time.monotonic() > time_over)
    site.process.terminate()
    thread.join()
    assert answers[0].status == 200
    assert site.process.wait(10) == 0
