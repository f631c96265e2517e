"""
A folder that takes one JSON file per effect, named by the effect's key.

A file appears whole or not at all, and is never replaced: it is written under another name, brought to the disk and
then linked to its own, which fails when there is one already.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from interlock.domain.base.canonical import canonical_json
from interlock.domain.effects.connector import ConnectionFields, EffectRequest, OutboxConnector, Receipt
from interlock.domain.reviews.review import is_review
from interlock.errors import ConfigurationError, ConnectorError, ConnectorUnavailable, EffectRefused, InterlockError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
DOCUMENTS = (".html", ".md")
_COMPARED = ("key", "business_key", "action", "payload")


class Outbox:
    """
    Puts effects into a folder as files.

    :param name: the connector's name.
    :param declaration: its text in ``ecosystem.yaml``.
    :param folder: created when it is not there.
    :param now: the clock of ``sent_at``.
    :raises ConfigurationError: the folder cannot be created or written to.
    """

    kind = "outbox"
    in_flight = 1

    def __init__(
        self,
        name: str,
        declaration: OutboxConnector,
        folder: Path,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name = name
        self.timeout_seconds = declaration.timeout_seconds
        self.folder = folder
        self._undo = declaration.undo
        self._now = now
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._trouble("cannot be created", error) from error

    def look(self, request: EffectRequest) -> Receipt | None:
        try:
            text = self._file(request).read_text(encoding="utf-8")
        except FileNotFoundError:
            if not self.folder.is_dir():  # it was there when this began: a share that went away, not an empty folder
                raise ConnectorUnavailable(
                    f"outbox {self.name!r}: folder {str(self.folder)!r} is gone. Bring it back; it is unknown whether "
                    "it holds the effect."
                ) from None
            return None
        except OSError as error:
            raise self._trouble("cannot be read", error) from error
        except UnicodeDecodeError:
            raise self._other_content(request) from None
        try:
            written = json.loads(text)
        except ValueError:
            raise self._other_content(request) from None
        if not isinstance(written, dict) or not _is_same(written, _content(request)):
            raise self._other_content(request)
        return self._receipt(request, written)

    def send(self, request: EffectRequest) -> Receipt:
        content = _content(request) | {"sent_at": self._now().astimezone(UTC).isoformat(timespec="seconds")}
        try:
            self._write_documents(request)
            self._write(request, canonical_json(content))
        except FileExistsError:
            existing = self.look(request)
            if existing is None:  # taken away between the two looks
                raise ConnectorUnavailable(
                    f"outbox {self.name!r}: the file of effect {request.key!r} was there and is not. Look again."
                ) from None
            return existing
        except OSError as error:
            raise self._trouble("cannot be written to", error) from error
        return self._receipt(request, content)

    def undo(self, request: EffectRequest) -> Receipt:
        if self._undo is None:
            raise EffectRefused(f"outbox {self.name!r} does not say how to undo an effect; add undo: withdraw")
        if self.look(request) is None:
            raise EffectRefused(
                f"outbox {self.name!r} does not hold {self._file(request).name!r} any more: it was collected, or "
                "withdrawn before. Ask the system that collects it"
            )
        try:
            self._file(request).unlink()
            for suffix in DOCUMENTS:
                self._file(request).with_suffix(suffix).unlink(missing_ok=True)
        except FileNotFoundError:
            raise EffectRefused(f"{self._file(request).name!r} was collected at this very moment") from None
        except OSError as error:
            raise self._trouble("cannot be written to", error) from error
        return Receipt(reference=self._file(request).name)

    def close(self) -> None:
        """Nothing is held open."""

    def _write(self, request: EffectRequest, text: str) -> None:
        handle, part = tempfile.mkstemp(prefix=f".{request.key[:64]}.", suffix=".part", dir=self.folder)
        try:
            with open(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(part, 0o640)
            try:
                os.link(part, self._file(request))
            except OSError as error:
                if error.errno in _NO_LINKS:
                    raise ConfigurationError(
                        f"outbox {self.name!r}: the file system of {str(self.folder)!r} has no hard links, so a file "
                        "cannot appear there whole and only once. Choose a folder on another one."
                    ) from error
                raise
        finally:
            os.unlink(part)
        directory = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _write_documents(self, request: EffectRequest) -> None:
        """Put a review beside its file as people read it. The JSON comes last: it is what says that all is there."""
        if not is_review(request.payload):
            return
        from interlock.reporting.markdown import render_markdown
        from interlock.reporting.page import render_html
        from interlock.reporting.view import View

        view = View.of(request.payload, request.case)
        for suffix, text in ((".html", render_html(view)), (".md", render_markdown(view))):
            part = self.folder / f".{request.key[:64]}{suffix}.part"
            part.write_text(text, encoding="utf-8")
            os.chmod(part, 0o640)
            os.replace(part, self._file(request).with_suffix(suffix))

    def _file(self, request: EffectRequest) -> Path:
        return self.folder / f"{request.key}.json"

    def _receipt(self, request: EffectRequest, written: Mapping[str, Any]) -> Receipt:
        return Receipt(reference=self._file(request).name, detail={"sent_at": written.get("sent_at")})

    def _other_content(self, request: EffectRequest) -> ConnectorError:
        return EffectRefused(
            f"outbox {self.name!r} holds {self._file(request).name!r} with other content than effect "
            f"{request.action!r} of {request.business_key!r}. Find out who wrote it; nothing was changed."
        )

    def _trouble(self, what: str, error: OSError) -> InterlockError:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        message = f"outbox {self.name!r}: folder {str(self.folder)!r} {what}: {reason}."
        if error.errno in _FULL:
            return ConnectorUnavailable(f"{message} Make room; nothing was sent.")
        if error.errno in _FORBIDDEN or isinstance(error, FileExistsError):
            return ConfigurationError(f"{message} Give the user of the worker a folder that it may write to.")
        return ConnectorUnavailable(message)


def open_outbox(name: str, declaration: OutboxConnector, connection: ConnectionFields) -> Outbox:
    """
    Return the outbox whose folder *connection* names: ``path`` of its extra, else its host.

    :raises ConfigurationError: there is no absolute path in it.
    """
    path = str(connection.extra.get("path") or connection.host or "")
    folder = Path(os.path.expandvars(path)).expanduser()
    if not folder.is_absolute():
        raise ConfigurationError(
            f"connector {name!r} needs an absolute folder in connection {connection.conn_id!r}, and it says {path!r}. "
            'Put it into the extra: {"path": "/srv/outbox"}; ~ and variables such as $AIRFLOW_HOME are filled in.'
        )
    return Outbox(name, declaration, folder)


def _content(request: EffectRequest) -> dict[str, Any]:
    return {
        "key": request.key,
        "business_key": request.business_key,
        "action": request.action,
        "payload": dict(request.payload),
    }


def _is_same(written: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    return canonical_json({name: written.get(name) for name in _COMPARED}) == canonical_json(asked)
