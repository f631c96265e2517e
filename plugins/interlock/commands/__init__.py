"""
What the commands of ``airflow interlock`` do. Reading goes to the ledger; whatever a person does goes through the API.
"""
