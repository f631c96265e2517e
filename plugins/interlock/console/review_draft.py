"""A draft that is a review, as the console shows it: rendered as it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from interlock.console.address import console_path
from interlock.domain.reviews.review import is_review
from interlock.reporting.page import render_body
from interlock.reporting.view import View


def rendered_review(draft: Any, case: Any) -> Markup | None:
    """
    Return *draft* rendered with the facts of its *case*; None when it is not a review.

    Also None where fields are replaced because the reader may not see them: then it is not a review any more.
    """
    if not is_review(draft) or not isinstance(case, Mapping):
        return None
    try:
        view = View.of(draft, case)
    except (ValueError, TypeError):
        return None
    return render_body(view, console=console_path("/"), level=3, is_folded=True)
