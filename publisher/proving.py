"""Asks hosts to prove what only a real Windows can show."""

import hashlib
import os
from typing import Any

from publisher.agent import frames
from publisher.fleet import Fleet
from publisher.session import Session

_SIZE = 1024 * 1024


def prove(fleet: Fleet) -> list[dict[str, Any]]:
    """For each host and each claim what speaks against it, or None."""
    content = os.urandom(_SIZE)
    told = fleet.each(lambda session: _prove(session, content))
    return [{"host": name, **proof} for name, proofs in told.items() for proof in proofs]


def _prove(session: Session, content: bytes) -> list[dict[str, Any]]:
    session.ask("look", "asking", parts={})  # so that the host has our programs before all this comes
    starts = range(0, len(content), frames.CHUNK)
    packed = [frames.pack(content[at : at + frames.CHUNK], 0, session.is_clean) for at in starts]
    about: dict[str, Any] = {"count": len(packed), "sha256": hashlib.sha256(content).hexdigest()}
    answer = session.converse("self-test", lambda: session.send("prove", packed, **about))
    return list(answer["proofs"])
