"""
What the commands of ``airflow interlock`` do. Commands read the ledger directly; a person's actions go through the API.
"""
