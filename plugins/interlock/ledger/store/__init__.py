"""The database itself: tables, transactions with their events, bulk writing, migrations, rights."""
