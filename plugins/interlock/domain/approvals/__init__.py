"""Who may decide what, how many must agree, and what happens when nobody answers."""
