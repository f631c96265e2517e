"""An address as a mail's header shows it and as the server is given it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parseaddr

_SHAPE = re.compile(r"[^@\s<>,;:()\[\]\\\"]+@[^@\s<>,;:()\[\]\\\"]+")


@dataclass(frozen=True)
class MailAddress:
    """One address, perhaps with a name: ``Ann Lee <ann@example.com>``."""

    display: str
    """The name; empty: there is none."""
    envelope: str
    """The address alone, its domain in ASCII (IDNA)."""

    @classmethod
    def parse(cls, text: str) -> MailAddress:
        """
        Return the address in *text*.

        :raises ValueError: it is not one address, or would end the header's line.
        """
        text = text.strip()
        if not text.isprintable():
            raise ValueError("it holds a line break or another control character")
        display, address = parseaddr(text)
        if not _SHAPE.fullmatch(address) or (not display and address != text and f"<{address}>" != text):
            raise ValueError("it is not one address such as ann@example.com or Ann Lee <ann@example.com>")
        local, _, domain = address.rpartition("@")
        try:
            domain = domain if domain.isascii() else domain.encode("idna").decode()
        except UnicodeError:
            raise ValueError("its domain is not a domain") from None
        return cls(display, f"{local}@{domain}")

    @property
    def domain(self) -> str:
        """What stands behind the @."""
        return self.envelope.rpartition("@")[2]

    def __str__(self) -> str:
        """As a header takes it, which encodes what has to be encoded."""
        quoted = self.display.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{self.envelope}>' if self.display else self.envelope
