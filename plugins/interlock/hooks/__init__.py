"""From the id of an Airflow connection to a model, an HTTP client or a database engine."""
