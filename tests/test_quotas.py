"""Local stores near their quota."""

import os

from cloudservice.instances import LocalResource
from emulator import quotas

MB = 1024 * 1024
WHY = "In the cloud a write beyond that fails"


def test_a_store_that_fills_up_is_told_once_for_each_step(tmp_path):
    resources = {"jobs_IN_0": {"Cache": LocalResource(str(tmp_path), 2)}}
    (tmp_path / "below").mkdir()
    told, found = {}, []
    for size in (1, MB, 19 * MB // 10, 2 * MB - 1, 2 * MB, 3 * MB, 10, 2 * MB):
        (tmp_path / "below/data").write_bytes(b"x" * size)
        found.append([text for _, text in quotas.remarks(quotas.measure(resources), told)])
    nearly = [f"local store Cache is nearly full: 1.9 of 2 MB. {WHY}"]
    full = [f"local store Cache is full: 2.0 of 2 MB. {WHY}"]
    assert found == [[], [], nearly, [], full, [], [], full]


def test_old_logs_make_room_and_the_store_stays_under_its_cap(tmp_path):
    logs = tmp_path / "LogFiles"
    logs.mkdir()
    for number, name in enumerate(["a.log.3", "a.log.2", "b.log.1", "a.log.1", "a.log"]):
        (logs / name).write_bytes(b"x" * (MB // 2))
        os.utime(logs / name, (number, number))
    resources = {"jobs_IN_0": {"DiagnosticStore": LocalResource(str(tmp_path), 2)}}
    assert quotas.measure(resources) == {("jobs_IN_0", "DiagnosticStore"): (3 * MB // 2, 2 * MB)}
    assert sorted(path.name for path in logs.iterdir()) == ["a.log", "a.log.1", "b.log.1"]


def test_what_is_not_there_is_empty(tmp_path):
    resources = {"a": {"Gone": LocalResource(str(tmp_path / "gone"), 1)}}
    assert quotas.measure(resources) == {("a", "Gone"): (0, MB)}
