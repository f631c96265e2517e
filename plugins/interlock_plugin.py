"""
What Airflow's plugins folder loader sees of Interlock: one registration, and nothing else.

When the distribution is installed, its ``airflow.plugins`` entry point registers the plugin already, and this module
stays empty: a second plugin of the same name would show up as an import error in the UI.
"""

from __future__ import annotations

from importlib.metadata import entry_points

if not any(found.name == "interlock" for found in entry_points(group="airflow.plugins")):
    from interlock.plugin import InterlockPlugin as InterlockPlugin
