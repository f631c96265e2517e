"""The message that an effect is: a review rendered, with its charts and the whole file; anything else as its fields."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

from interlock.connectors.mail_address import MailAddress
from interlock.domain.effects.connector import EffectRequest
from interlock.domain.reviews.review import is_review


def message_of(
    request: EffectRequest, *, sender: MailAddress, to: Sequence[MailAddress], at: datetime, console: str | None
) -> EmailMessage:
    """Return the message of *request*; its Message-ID follows from the effect's key alone."""
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"] = str(sender), ", ".join(map(str, to))
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{request.key}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Interlock-Case"] = _line(request.business_key)
    if is_review(request.payload):
        _write_review(message, request, console)
    else:
        message["Subject"] = _line(
            request.payload.get("subject") or request.payload.get("title") or request.business_key
        )
        message.set_content(_as_text(request.payload))
    return message


def _write_review(message: EmailMessage, request: EffectRequest, console: str | None) -> None:
    from interlock.reporting.markdown import render_markdown
    from interlock.reporting.page import render_html
    from interlock.reporting.view import View

    view = View.of(request.payload, request.case)
    title = view.review.title
    period = view.review.period
    message["Subject"] = _line(title if period in title else f"{title}, {period}")
    message.set_content(render_markdown(view, console=console))
    message.add_alternative(render_html(view, console=console, charts="attached"), subtype="html")
    drawings = [d for section in view.sections for d in view.drawings(section.charts)]
    html = message.get_payload()[1]  # type: ignore[index]  # the alternative that was just added
    for number, drawing in enumerate(drawings, 1):
        html.add_related(drawing.png(), "image", "png", cid=f"<chart-{number}>")  # type: ignore[union-attr]
    name = f"{request.business_key}.html".replace("/", "-").replace(" ", "-")
    message.add_attachment(
        render_html(view, console=console).encode(), maintype="text", subtype="html", filename=_line(name)
    )


def _as_text(payload: Any) -> str:
    if set(payload) & {"body", "text"}:
        return str(payload.get("body") or payload.get("text"))
    return "\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in payload.items())


def _line(text: Any) -> str:
    """Return *text* as a header may hold it: one line of printable characters."""
    return "".join(each for each in " ".join(str(text).split()) if each.isprintable())[:200]
