"""Cases, what the roles handed on for them, and what came out of them."""
