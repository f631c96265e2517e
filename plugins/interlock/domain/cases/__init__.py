"""Where a case can be, how it gets from one place to the next, and what the business got from it."""
