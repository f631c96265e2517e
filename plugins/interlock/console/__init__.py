"""
What people use in a browser, and the API that terminals use: mounted by Airflow's API server below ``/interlock``.
"""
