"""Asking before every effect whether a person stopped the task, where many threads send at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from interlock.engine.runs.session import Session
from interlock.errors import SwitchedOff
from interlock.ledger.runs.kill_switch import refuse_if_off


@contextmanager
def watched_switches(session: Session) -> Iterator[Callable[[], None]]:
    """
    Yield what checks the session's switches, as :meth:`Session.check_switches` does, for any number of threads.

    Each caller gets an answer that was read after it asked. Callers that wait while another one reads share the next
    answer, and all use one connection to the ledger.
    """
    lock, begun = threading.Lock(), 0
    answer: SwitchedOff | None = None
    with session.ledger.keep_reading() as read:

        def check() -> None:
            nonlocal begun, answer
            wanted = begun + 1
            with lock:
                if begun < wanted:  # nobody has begun to read since this one asked
                    begun += 1
                    answer = None
                    try:
                        with read() as connection:
                            refuse_if_off(
                                connection, session.run.environment, session.switches, workflow=session.run.workflow
                            )
                    except SwitchedOff as error:
                        answer = error
                    except BaseException:
                        begun -= 1  # it is not known: the next one reads again
                        raise
                found = answer
            if found is not None:
                raise found

        yield check
