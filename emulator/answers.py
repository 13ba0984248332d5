"""What the emulator does and says when something is wished of it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine

from cloudservice import failure
from cloudservice.errors import Fault
from cloudservice.plain import to_plain
from cloudservice.tells import Tell
from emulator.changes import Changes
from emulator.fabric import Fabric
from emulator.feed import Feed
from emulator.run import take
from emulator.status import snapshot
from emulator.wishes import Inside, Message, Restart, Scale, Status, Stop, Upgrade, Watch, Wish, from_message

Change = Callable[[Tell], Coroutine[None, None, tuple[Fault, ...]]]
"""Makes a change and tells how it goes; gives what failed."""


async def answer(asked: Message, fabric: Fabric, changes: Changes, feed: Feed) -> AsyncGenerator[Message, None]:
    """Do what is wished, and say how it goes."""
    match from_message(asked):
        case Status():
            yield {"snapshot": snapshot(fabric)}
        case Stop():
            fabric.stop()
            yield {"snapshot": snapshot(fabric)}
        case Inside(instance):
            yield _inside(fabric, instance)
        case Watch(output):
            yield {"snapshot": snapshot(fabric)}
            async for message in feed.subscribe(output):
                yield message
        case wish:
            async for message in _change(_of(wish, fabric, changes)):
                yield message


def _of(wish: Wish | None, fabric: Fabric, changes: Changes) -> Change:
    """The change that a wish means."""
    match wish:
        case Scale(counts):
            return lambda tell: changes.scale(counts, tell)
        case Restart(roles, instances):
            return lambda tell: changes.restart(roles, instances, tell)
        case Upgrade(path, on_failure) if path.parent == fabric.run.state and failure.is_known(on_failure):
            return lambda tell: changes.upgrade(take(path), on_failure, tell)
    return _unknown


async def _unknown(_tell: Tell) -> tuple[Fault, ...]:
    wrong = "this emulator does not know that wish"
    return (Fault("control channel", wrong, "Use one version of rolepack for both"),)


def _inside(fabric: Fabric, name: str) -> Message:
    there = {member.name: member.launch for member in fabric.members}
    launch = there.get(name)
    if launch is None:
        fault = Fault("--instance", f"there is no instance '{name}'", f"Choose from {', '.join(there)}")
        return {"faults": [to_plain(fault)]}
    return {"environ": dict(launch.program.environ), "cwd": str(launch.program.cwd)}


_changes: set["asyncio.Task[tuple[Fault, ...]]"] = set()
"""Changes go on when whoever wished for them has gone."""


async def _change(change: Change) -> AsyncGenerator[Message, None]:
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
