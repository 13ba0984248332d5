"""The rules of an instance's life, as histories: events in, states and delays out."""

import pytest

from cloudservice.life import Life


def play(history: str) -> tuple[Life, list[str], list[float]]:
    """Words with a time: `start@0 run@0.1 ready@2 exit3@9 stop@10 end@11`; returns the life, states and delays."""
    life, states, delays = Life(), [], []
    for word in history.split():
        what, _, when = word.partition("@")
        now = float(when or 0)
        if what == "start":
            life.starting()
        elif what == "run":
            life.started(42)
        elif what == "ready":
            life.ready(now)
        elif what == "settle":
            life.settled()
        elif what == "again":
            life.forgive()
            life.recycled(0, "asked")
        elif what.startswith("exit"):
            delays.append(life.exited(now, int(what[4:] or 1), f"exit code {what[4:] or 1}"))
        elif what == "stop":
            life.stopping()
        elif what == "end":
            life.stopped()
        states.append(life.state)
    return life, states, delays


@pytest.mark.parametrize(
    ("history", "states"),
    [
        ("start run ready stop end", "Starting Busy Ready Stopping Stopped"),
        ("start exit1 start run", "Starting Recycling Starting Busy"),
        ("start run exit1 start run ready", "Starting Busy Recycling Starting Busy Ready"),
        ("start run ready exit-9 stop end", "Starting Busy Ready Recycling Stopping Stopped"),
    ],
)
def test_states(history, states):
    assert play(history)[1] == states.split()


@pytest.mark.parametrize(
    ("history", "delays"),
    [
        ("run exit run exit run exit run exit", [0, 0.1, 0.2, 0.4]),
        ("run ready@0 exit@59 run ready@60 exit@61", [0, 0.1]),
        ("run exit run exit run ready@0 exit@60 run exit", [0, 0.1, 0, 0.1]),
        ("run exit run exit run again run exit run exit", [0, 0.1, 0, 0.1]),
        ("exit " * 12, [0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30]),
        ("exit " * 1000, None),
    ],
)
def test_delays_grow_after_the_first_and_forget_after_health(history, delays):
    found = play(history)[2]
    assert max(found) <= 30
    assert delays is None or found == pytest.approx(delays)


@pytest.mark.parametrize(
    ("history", "failed"),
    [
        ("run exit", False),
        ("run exit run exit", True),
        ("exit exit", True),
        ("run ready exit run ready exit", True),
        ("run ready settle exit run exit", False),
        ("run exit run ready settle exit run exit", False),
        ("run ready settle exit run exit exit", True),
        ("run exit run again run exit", False),
        ("run exit run again run exit run exit", True),
    ],
)
def test_a_start_has_failed_at_the_second_exit_before_it_settles(history, failed):
    assert play(history)[0].failed is failed


def test_the_last_end_stays_known():
    life, _, _ = play("start run exit3 start run ready")
    assert (life.restarts, life.exit_code, life.reason, life.pid) == (1, 3, "exit code 3", 42)
    life, states, _ = play("start run ready settle again")
    assert (life.restarts, life.reason, life.is_settled, states[-1]) == (1, "asked", False, "Recycling")
