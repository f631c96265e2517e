"""The threshold that means "never": what stands where no confidence is proven enough."""

from __future__ import annotations

NEVER = 1.01
"""A threshold that no confidence reaches: nothing is automatic."""
