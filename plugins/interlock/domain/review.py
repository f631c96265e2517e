"""Where the contracts of published versions import :class:`Review` from: this path stays."""

from interlock.domain.reviews.review import Chart, Figure, Recommendation, Review, Section, Sentence, Withheld

__all__ = ["Chart", "Figure", "Recommendation", "Review", "Section", "Sentence", "Withheld"]
