"""How an agent is declared, what it is asked and answers, what it may use, and how fast its service may be called."""
