"""Pure values and rules: no Airflow, no input or output, no clock and no randomness of its own."""
