"""Reviews as people read them: one HTML file, Markdown, a mail. Pure functions of a review and of its finding."""
