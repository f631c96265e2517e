"""
One command from a clean checkout to a run that waits for a person: ``python -m interlock.quickstart``.

It starts a separate Airflow on this machine for the project's folder, and stops it again. Not for production: the
passwords are printed on the screen.
"""
