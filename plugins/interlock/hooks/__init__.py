"""Opens models, connectors, storage and the ledger with Airflow connections, and reads the settings."""
