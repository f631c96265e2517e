"""
One command from a clean checkout to a run that waits for a person: ``python -m interlock.quickstart``.

It starts a real Airflow of its own, on this machine and for this project's folder, and ends it again. Nothing here is
for production: the passwords are printed on the screen.
"""
