"""
Sending by mail, over SMTP: once, or not known.

Everything up to the end of the message is known from its answers: nothing was handed over. From the first byte of
the message to the server's word for it there is no way back: when that word is lost, the message may be on its way, and
no server can be asked for it. So it is never repeated here. Its Message-ID is the effect's, for those who get two.
"""

from __future__ import annotations

import smtplib
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from interlock.connectors.mail_address import MailAddress
from interlock.connectors.mail_message import message_of
from interlock.domain.effects.connector import ConnectionFields, EffectRequest, MailConnector, Receipt
from interlock.errors import ConfigurationError, ConnectorUnavailable, EffectInDoubt, EffectRefused


class MailServer:
    """
    A mail server that takes messages for others.

    The connection is read as Airflow's own SMTP hook reads it: ``disable_ssl``, ``disable_tls`` and ``from_email``
    stand in its extra.

    :param name: the connector's name.
    :param declaration: its text in ``ecosystem.yaml``.
    :param connection: of type ``smtp``.
    :param now: the clock of the message's date.
    :raises ConfigurationError: the connection has no host, or no address to send from.
    """

    kind = "mail"
    in_flight = 1

    def __init__(
        self,
        name: str,
        declaration: MailConnector,
        connection: ConnectionFields,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name = name
        self.timeout_seconds = declaration.timeout_seconds
        self._declaration, self._connection, self._now = declaration, connection, now
        self._from = str(connection.extra.get("from_email") or connection.login or "")
        if not connection.host or "@" not in self._from:
            raise ConfigurationError(
                f"connector {name!r} needs a host and an address to send from in connection {connection.conn_id!r}: "
                'put {"from_email": "interlock@example.com"} into its extra'
            )

    def look(self, request: EffectRequest) -> Receipt | None:
        raise EffectInDoubt(
            f"connector {self.name!r}: an earlier attempt may have sent the mail, and a mail server cannot be asked"
        )

    def send(self, request: EffectRequest) -> Receipt:
        sender, recipients = self._address("the sender (from_email)", self._from), self._recipients(request)
        needs_utf8 = not all(one.envelope.isascii() for one in (sender, *recipients))
        try:
            message = message_of(
                request,
                sender=sender,
                to=recipients,
                at=self._now(),
                console=self._declaration.console_url,
            )
            # The message is made before the line is opened: what it takes counts against nobody's time limit.
            data = message.as_bytes(policy=message.policy.clone(linesep="\r\n", utf8=needs_utf8))
        except (ValueError, LookupError) as error:
            raise EffectRefused(
                f"connector {self.name!r}: {request.action!r} of {request.business_key!r} cannot be written as a mail "
                f"({type(error).__name__}); correct its text"
            ) from None
        ends = time.monotonic() + self.timeout_seconds
        with self._open(ends) as server:
            if needs_utf8:
                self._demand_utf8(server, sender, recipients)
            with self._before_handing_over():
                beyond_ascii = " SMTPUTF8 BODY=8BITMIME" if needs_utf8 else ""
                self._expect(server, ends, "MAIL", f"FROM:<{sender.envelope}>{beyond_ascii}")
                for one in recipients:
                    self._expect(server, ends, "RCPT", f"TO:<{one.envelope}>")
                self._expect(server, ends, "DATA", "", wanted=354)
            try:
                self._limit(server, ends)
                server.send(_quoted(data))
                code, reply = server.getreply()
            except (OSError, smtplib.SMTPException) as error:
                raise EffectInDoubt(
                    f"connector {self.name!r}: the mail was handed over and the server's answer was lost "
                    f"({type(error).__name__})"
                ) from None
            if code != 250:
                raise self._refused("the message", code, reply)
            with suppress(OSError, smtplib.SMTPException):
                server.quit()
        return Receipt(reference=str(message["Message-ID"]), detail={"recipients": len(recipients)})

    def undo(self, request: EffectRequest) -> Receipt:
        raise EffectRefused(f"connector {self.name!r}: mail cannot be called back")

    def close(self) -> None:
        """Nothing is held open."""

    def _recipients(self, request: EffectRequest) -> list[MailAddress]:
        found: dict[str, MailAddress] = {}
        for one in self._declaration.to:
            text = request.people.get(one, one)
            if "@" not in text:
                raise ConfigurationError(f"connector {self.name!r} has no address of {one!r}; see workflow.yaml")
            address = self._address(f"{one!r}", text)
            found.setdefault(address.envelope, address)
        return list(found.values())

    def _address(self, whose: str, text: str) -> MailAddress:
        try:
            return MailAddress.parse(text)
        except ValueError as error:
            raise ConfigurationError(
                f"connector {self.name!r}: the address of {whose} cannot be written to: {error}. Correct it in "
                f"workflow.yaml, ecosystem.yaml or connection {self._connection.conn_id!r}; nothing was sent"
            ) from None

    def _demand_utf8(self, server: smtplib.SMTP, sender: MailAddress, recipients: list[MailAddress]) -> None:
        """Let the commands hold letters beyond ASCII, where the server takes them (RFC 6531)."""
        if not server.has_extn("smtputf8"):
            beyond = next(one for one in (sender, *recipients) if not one.envelope.isascii())
            raise ConfigurationError(
                f"connector {self.name!r}: the address {beyond.envelope!r} holds a letter beyond ASCII before its @, "
                "and the mail server does not take such addresses (SMTPUTF8). Use another address of theirs, or "
                "another server; nothing was sent"
            )
        server.command_encoding = "utf-8"

    @contextmanager
    def _open(self, ends: float) -> Iterator[smtplib.SMTP]:
        connection, extra = self._connection, self._connection.extra
        with self._before_handing_over():
            context = ssl.create_default_context()
            left = max(ends - time.monotonic(), 0.1)
            host = str(connection.host)
            server: smtplib.SMTP
            if extra.get("disable_ssl"):
                server = smtplib.SMTP(host, connection.port or 25, timeout=left)
            else:
                server = smtplib.SMTP_SSL(host, connection.port or 465, timeout=left, context=context)
        try:
            with self._before_handing_over():
                if extra.get("disable_ssl") and not extra.get("disable_tls"):
                    self._limit(server, ends)
                    server.starttls(context=context)
                self._limit(server, ends)
                server.ehlo_or_helo_if_needed()
                if connection.login and connection.password:
                    self._limit(server, ends)
                    server.login(connection.login, connection.password)
            yield server
        finally:
            server.close()

    @contextmanager
    def _before_handing_over(self) -> Iterator[None]:
        """Report what fails in here as an attempt that surely sent nothing."""
        try:
            yield
        except smtplib.SMTPAuthenticationError:
            raise ConfigurationError(
                f"connector {self.name!r}: the server does not take login and password of connection "
                f"{self._connection.conn_id!r}"
            ) from None
        except smtplib.SMTPNotSupportedError as error:
            raise ConfigurationError(
                f"connector {self.name!r}: the server cannot do what connection {self._connection.conn_id!r} asks "
                f"({error}); see disable_tls in its extra"
            ) from None
        except (OSError, smtplib.SMTPException) as error:
            raise self._unavailable(f"the server did not answer: {type(error).__name__}") from None

    def _expect(self, server: smtplib.SMTP, ends: float, verb: str, rest: str, *, wanted: int = 250) -> None:
        self._limit(server, ends)
        code, reply = server.docmd(verb, rest)
        if code != wanted and not (wanted == 250 and code == 251):
            raise self._refused({"RCPT": "a recipient", "MAIL": "the sender"}.get(verb, "the message"), code, reply)

    def _limit(self, server: smtplib.SMTP, ends: float) -> None:
        left = ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if server.sock is not None:
            server.sock.settimeout(left)

    def _refused(self, what: str, code: int, reply: bytes) -> ConnectorUnavailable | EffectRefused:
        """Return the error for an answer that is a no; the server's words may quote an address, so only its code."""
        if 400 <= code < 500:
            return self._unavailable(f"the server does not take {what} now (it answered {code})")
        return EffectRefused(f"connector {self.name!r}: the server does not take {what} (it answered {code})")

    def _unavailable(self, why: str) -> ConnectorUnavailable:
        error = ConnectorUnavailable(f"connector {self.name!r}: {why}; nothing was sent")
        error.surely_not = True
        return error


def _quoted(data: bytes) -> bytes:
    """Return a message as SMTP takes it: a line that begins with a dot gets another, and a lone one ends it."""
    lines = data.split(b"\r\n")
    body = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines)
    return body + (b"" if body.endswith(b"\r\n") else b"\r\n") + b".\r\n"
