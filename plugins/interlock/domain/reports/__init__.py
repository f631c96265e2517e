"""What the figures of a workflow mean: KPIs, costs, quotes."""
