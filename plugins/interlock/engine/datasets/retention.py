"""Which snapshots of datasets nobody needs any more: older than ``kept``, and named by no younger reading."""

from __future__ import annotations

from interlock.errors import ConfigurationError
from interlock.ledger.facts.fact import reading_files
from interlock.ledger.policy.version import load_version
from interlock.ledger.store.ledger import Ledger


def expired_snapshots(ledger: Ledger) -> set[str]:
    """
    Return the digests of snapshots, and of the rows put aside, that no reading needs any more.

    Readings of all environments of this ledger count, because a folder may be shared. How long one is kept was declared
    in the version that its run pinned.
    """
    now = ledger.clock()
    expired: set[str] = set()
    needed: set[str] = set()
    with ledger.read() as connection:
        rows = reading_files(connection)
        versions = {row.version_id for row in rows}
        declared = {version_id: load_version(connection, version_id).bundle for version_id in versions}
    for row in rows:
        digests = {digest for digest in (row.snapshot, row.quarantine) if digest}
        try:
            kept = declared[row.version_id].datasets[row.dataset].kept
        except (ConfigurationError, KeyError):  # written by a version that cannot be read any more: keep
            needed |= digests
            continue
        (expired if row.created_at + kept < now else needed).update(digests)
    return expired - needed
