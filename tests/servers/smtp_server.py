"""
A mail server on loopback that keeps what it is given, or refuses it.

It speaks as much of SMTP (RFC 5321) as a client needs to hand over a message.
"""

from __future__ import annotations

import socketserver
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage


class SmtpServer:
    """The server, running from ``with`` to its end."""

    def __init__(self) -> None:
        self.messages: list[tuple[list[str], EmailMessage]] = []
        """Recipients and message, in order."""
        self.refuses = False
        """Answers every recipient with 550."""
        self.says_later = False
        """Answers every sender with 451."""
        self.loses_answer = False
        """Keeps a message, and closes the line before it says so."""
        self.hangs = False
        """Keeps a message, and says nothing more."""
        self.is_done = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def __enter__(self) -> SmtpServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.is_done.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def _handler(server: SmtpServer) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            recipients: list[str] = []
            self._say(b"220 loopback")
            for line in self.rfile:
                word = line[:4].upper()
                if word == b"DATA":
                    self._say(b"354 go on")
                    server.messages.append((recipients, self._message()))
                    if server.loses_answer:
                        return
                    if server.hangs:
                        server.is_done.wait(10)
                        return
                    self._say(b"250 kept")
                    recipients = []
                elif word == b"MAIL" and server.says_later:
                    self._say(b"451 later")
                elif word == b"RCPT" and server.refuses:
                    self._say(b"550 nobody of that name")
                elif word == b"RCPT":
                    recipients.append(line.decode().split("<")[1].split(">")[0])
                    self._say(b"250 yes")
                elif word == b"QUIT":
                    self._say(b"221 bye")
                    return
                else:
                    self._say(b"250 yes")

        def _message(self) -> EmailMessage:
            lines = []
            for line in self.rfile:
                if line in (b".\r\n", b".\n"):
                    break
                lines.append(line[1:] if line.startswith(b"..") else line)
            said = message_from_bytes(b"".join(lines), policy=policy.default)
            assert isinstance(said, EmailMessage)
            return said

        def _say(self, text: bytes) -> None:
            self.wfile.write(text + b"\r\n")

    return Handler
