"""What carries a role out: a model, a classifier, retrieval, a template, a function."""
