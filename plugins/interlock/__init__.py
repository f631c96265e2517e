"""Interlock: AI agents as governed batch work on Apache Airflow. See ``include/docs/guide`` for how to use it."""

__version__ = "0.1.0"
