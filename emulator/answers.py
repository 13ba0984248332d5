"""What the emulator does and says when something is wished of it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from cloudservice.errors import Fault
from cloudservice.plain import to_plain
from emulator.fabric import Fabric, Tell
from emulator.feed import Feed
from emulator.run import take
from emulator.status import snapshot
from emulator.wishes import Inside, Message, Restart, Scale, Status, Stop, Upgrade, Watch, from_message


async def answer(asked: Message, fabric: Fabric, feed: Feed) -> AsyncGenerator[Message, None]:
    """Do what is wished, and say how it goes."""
    try:
        wish = from_message(asked)
    except (KeyError, TypeError, ValueError):
        fault = Fault(
            "control channel", "this emulator does not know that wish", "Use one version of rolepack for both"
        )
        yield {"faults": [to_plain(fault)]}
        return
    match wish:
        case Status():
            yield {"snapshot": snapshot(fabric)}
        case Stop():
            fabric.stop()
            yield {"snapshot": snapshot(fabric)}
        case Scale(counts):
            async for message in _change(lambda tell: fabric.scale(dict(counts), tell)):
                yield message
        case Restart(roles, instances):
            async for message in _change(lambda tell: fabric.restart(roles, instances, tell)):
                yield message
        case Upgrade(path):
            async for message in _change(lambda tell: fabric.upgrade(take(path), tell)):
                yield message
        case Inside(instance):
            yield _inside(fabric, instance)
        case Watch(output):
            yield {"snapshot": snapshot(fabric)}
            async for message in feed.subscribe(output):
                yield message


def _inside(fabric: Fabric, name: str) -> Message:
    there = {member.name: member.launch for member in fabric.members}
    launch = there.get(name)
    if launch is None:
        fault = Fault("--instance", f"there is no instance '{name}'", f"Choose from {', '.join(there)}")
        return {"faults": [to_plain(fault)]}
    return {"environ": dict(launch.program.environ), "cwd": str(launch.program.cwd)}


_changes: set["asyncio.Task[tuple[Fault, ...]]"] = set()
"""Changes go on when whoever wished for them has gone."""


async def _change(change: Callable[[Tell], Awaitable[tuple[Fault, ...]]]) -> AsyncGenerator[Message, None]:
    said: asyncio.Queue[str | None] = asyncio.Queue()

    async def made() -> tuple[Fault, ...]:
        try:
            return await change(said.put_nowait)
        finally:
            said.put_nowait(None)

    task = asyncio.create_task(made())
    _changes.add(task)
    task.add_done_callback(_changes.discard)
    while (text := await said.get()) is not None:
        yield {"said": text}
    yield {"faults": [to_plain(fault) for fault in await task]}
