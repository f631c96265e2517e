"""
The batch interface of OpenAI, and of the many services that copy it: requests go up as a file of JSON lines, answers
come down as another within the window that was asked for.

A batch carries the name that it has in the ledger among its metadata, so that one whose creation was not heard of is
found by it instead of being sent a second time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from interlock.agents.model_error import Asked, translate_model_error
from interlock.errors import AgentError, AgentUnavailable, BatchRefused, ConfigurationError, InterlockError

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types import Batch
    from pydantic_ai.models import Model

T = TypeVar("T")
NAME = "interlock_batch"
"""Key of a batch's metadata with its name in the ledger."""
OVER = frozenset({"completed", "failed", "expired", "cancelled"})
CLOCKS = timedelta(minutes=10)
"""How far the provider's clock and ours may be apart."""
PATIENCE = timedelta(seconds=60)
"""For one request about a batch."""


@dataclass(frozen=True)
class BatchStatus:
    """The status of a batch at the provider."""

    id: str
    status: str
    """``validating``, ``in_progress``, ``finalizing`` or ``cancelling``; or how it ended, one of :data:`OVER`."""
    files: tuple[str, ...] = ()
    """Where its answers and errors are."""
    input_file: str = ""
    problem: str = ""
    """Code of what made it fail as a whole."""

    @property
    def is_over(self) -> bool:
        """Whether there will be no more answers."""
        return self.status in OVER


@dataclass(frozen=True)
class Reply:
    """What a batch holds for one request: an HTTP answer, or why there is none."""

    status: int = 0
    body: Any = None
    problem: str = ""
    """A code, such as ``batch_expired``."""


class BatchClient:
    """The batch interface behind a model."""

    def __init__(self, model: Model, called: Asked) -> None:
        self._model, self._called = model, called

    def upload(self, name: str, lines: Mapping[str, bytes], endpoint: str) -> str:
        """
        Bring the requests' bodies, by case, to the provider and return the file's id. Nothing runs yet.

        :raises BatchRefused: the service has no interface for batches, or does not take the file.
        :raises AgentUnavailable: no answer.
        """
        text = b"\n".join(
            b'{"custom_id":%b,"method":"POST","url":%b,"body":%b}'
            % (json.dumps(case_id).encode(), json.dumps(endpoint).encode(), body)
            for case_id, body in lines.items()
        )

        async def up(client: AsyncOpenAI) -> str:
            file = await client.files.create(file=(f"interlock-{name}.jsonl", text), purpose="batch")
            return file.id

        return self._ask(up, creates=True)

    def create(self, name: str, file: str, endpoint: str, window: timedelta) -> BatchStatus:
        """
        Let the requests of a file run.

        :raises BatchRefused: the service did not take it.
        :raises AgentUnavailable: no answer: whether it runs is not known. Look for it by its name.
        """

        async def run(client: AsyncOpenAI) -> BatchStatus:
            batch = await client.batches.create(
                input_file_id=file,
                endpoint=endpoint,  # type: ignore[arg-type]  # of the model's own request
                completion_window=_hours(window),  # type: ignore[arg-type]  # OpenAI itself has one only
                metadata={NAME: name},
                extra_headers={"Idempotency-Key": name},
            )
            return _status(batch)

        return self._ask(run, creates=True)

    def find(self, name: str, since: datetime) -> BatchStatus | None:
        """Return the batch that was created under *name* since an instant; None when there is none."""
        oldest = (since - CLOCKS).timestamp()

        async def look(client: AsyncOpenAI) -> BatchStatus | None:
            async for batch in client.batches.list(limit=100):  # the newest come first
                if (batch.metadata or {}).get(NAME) == name:
                    return _status(batch)
                if batch.created_at < oldest:
                    return None
            return None

        return self._ask(look)

    def look(self, batch_id: str) -> BatchStatus | None:
        """Return the status of a batch; None when the provider does not know it any more."""

        async def look(client: AsyncOpenAI) -> BatchStatus | None:
            from openai import NotFoundError

            try:
                return _status(await client.batches.retrieve(batch_id))
            except NotFoundError:
                return None

        return self._ask(look)

    def replies(self, status: BatchStatus) -> dict[str, Reply]:
        """Return what a batch that is over holds, by case; of a case with two answers the first counts."""

        async def read(client: AsyncOpenAI) -> list[str]:
            return [(await client.files.content(file)).text for file in status.files]

        found: dict[str, Reply] = {}
        for text in self._ask(read):
            for line in text.splitlines():
                case_id, reply = _reply(line)
                if case_id and case_id not in found:
                    found[case_id] = reply
        return found

    def cancel(self, batch_id: str) -> None:
        """Ask the provider to end a batch; what is answered by then stays readable, and is paid for."""

        async def end(client: AsyncOpenAI) -> None:
            from openai import APIStatusError

            with suppress(APIStatusError):  # it was over before
                await client.batches.cancel(batch_id)

        self._ask(end)

    def forget(self, status: BatchStatus) -> None:
        """Delete what the provider keeps of a batch's texts, as far as it lets us."""

        async def delete(client: AsyncOpenAI) -> None:
            from openai import OpenAIError

            for file in filter(None, (*status.files, status.input_file)):
                with suppress(OpenAIError):
                    await client.files.delete(file)

        with suppress(AgentError):
            self._ask(delete)

    def _ask(self, what: Callable[[AsyncOpenAI], Awaitable[T]], *, creates: bool = False) -> T:
        async def main() -> T:
            async with self._model:
                client: AsyncOpenAI = self._model.client  # type: ignore[attr-defined]  # see has_batches
                return await what(client.with_options(timeout=PATIENCE.total_seconds(), max_retries=0))

        from openai import OpenAIError

        try:
            return asyncio.run(main())
        except OpenAIError as error:
            raise _meaning(error, self._called, creates=creates) from error


def has_batches(model: Model) -> bool:
    """Return whether *model* speaks one of OpenAI's interfaces, which are those that batches are sent for."""
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel

    return isinstance(model, (OpenAIChatModel, OpenAIResponsesModel))


def _status(batch: Batch) -> BatchStatus:
    errors = (batch.errors and batch.errors.data) or []
    return BatchStatus(
        id=batch.id,
        status=batch.status,
        files=tuple(file for file in (batch.output_file_id, batch.error_file_id) if file),
        input_file=batch.input_file_id or "",
        problem=next((error.code for error in errors if error.code), ""),
    )


def _reply(line: str) -> tuple[str | None, Reply]:
    """Read a line of an output or error file; one that cannot be read is as good as missing."""
    try:
        entry = json.loads(line)
        response, error = entry.get("response") or {}, entry.get("error") or {}
        if response.get("status_code"):
            return str(entry["custom_id"]), Reply(int(response["status_code"]), response.get("body"))
        return str(entry["custom_id"]), Reply(problem=str(error.get("code") or "unknown")[:60])
    except (ValueError, TypeError, KeyError, AttributeError):
        return None, Reply()


def _meaning(error: Exception, called: Asked, *, creates: bool) -> InterlockError:
    from openai import APIStatusError
    from pydantic_ai.exceptions import ModelHTTPError

    if not isinstance(error, APIStatusError):
        return AgentUnavailable(f"{called} could not be asked about a batch: {type(error).__name__}")
    status = error.status_code
    if creates and 400 <= status < 500 and status not in (401, 403, 408, 409, 425):
        refused = BatchRefused(f"the service of {called} did not take a batch: HTTP {status}")
        if status == 429:  # it has an interface, and no room now
            after = error.response.headers.get("Retry-After", "")
            refused.retry_after_seconds = float(after) if after.isdigit() else 0.0
        return refused
    meaning = translate_model_error(ModelHTTPError(status, called.model, error.body), called)
    if isinstance(meaning, (AgentUnavailable, ConfigurationError)):
        return meaning
    return AgentUnavailable(f"{called} did not report the status of a batch: HTTP {status}")


def _hours(window: timedelta) -> str:
    return f"{max(round(window / timedelta(hours=1)), 1)}h"
