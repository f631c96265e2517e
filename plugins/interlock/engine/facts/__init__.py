"""From a reading to facts, anomalies, insights and reviews."""
