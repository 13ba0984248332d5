"""Events and output of a run, for whoever has subscribed over the control channel."""

import asyncio
from collections.abc import AsyncGenerator

from emulator.wishes import Message

_WAITING = 10_000
"""Messages kept for a slow subscriber; what comes then is counted instead."""


class _Subscriber:
    def __init__(self, wants_output: bool) -> None:
        self.wants_output = wants_output
        self.messages: asyncio.Queue[Message] = asyncio.Queue(_WAITING)
        self.missed = 0

    def put(self, message: Message) -> None:
        if self.missed and not self.messages.full():
            self.messages.put_nowait({"event": "missed", "messages": self.missed})
            self.missed = 0
        if self.messages.full():
            self.missed += 1
        else:
            self.messages.put_nowait(message)


class Feed:
    """What happens, as messages that can be JSON: `state`, `said` and, for those who want it, `output`."""

    def __init__(self) -> None:
        self._subscribers: set[_Subscriber] = set()

    async def subscribe(self, wants_output: bool) -> AsyncGenerator[Message, None]:
        """Everything from now on, without an end."""
        subscriber = _Subscriber(wants_output)
        self._subscribers.add(subscriber)
        try:
            while True:
                yield await subscriber.messages.get()
        finally:
            self._subscribers.discard(subscriber)

    def state(self, instance: str, state: str, why: str) -> None:
        """An instance has changed."""
        self._publish({"event": "state", "instance": instance, "state": state, "why": why})

    def said(self, text: str) -> None:
        """The emulator has something to say."""
        self._publish({"event": "said", "text": text})

    def output(self, instance: str, data: memoryview) -> None:
        """An instance has printed something, mostly whole lines."""
        if any(subscriber.wants_output for subscriber in self._subscribers):
            text = bytes(data).decode("utf-8", "replace")
            self._publish({"event": "output", "instance": instance, "text": text}, is_output=True)

    def _publish(self, message: Message, is_output: bool = False) -> None:
        for subscriber in self._subscribers:
            if subscriber.wants_output or not is_output:
                subscriber.put(message)
