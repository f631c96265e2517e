"""The company's files as they are in force in an environment, and as a run pinned them."""

from __future__ import annotations

from sqlalchemy import Connection

from interlock.domain.base.seal import Sealer
from interlock.domain.policy.company import COMPANY, Company
from interlock.domain.policy.version import WorkflowVersion
from interlock.ledger.policy.version import find_in_force, load_version
from interlock.ledger.store.ledger import Ledger
from interlock.ledger.store.seal import seal_of
from interlock.ledger.store.transaction import Transaction


def company_in_force(ledger: Ledger) -> Company:
    """Return the company's files that are in force now; one that allows nothing when none are."""
    with ledger.read(sealed=True) as connection:
        return company_at(connection, ledger)


def company_at(connection: Connection, ledger: Ledger) -> Company:
    """
    Return the company's files that are in force now, within a transaction.

    :raises Tampered: the transaction writes, or looks at seals otherwise, and they were not put in force with the key.
    """
    at = ledger.clock()
    return as_company(find_in_force(connection, ledger.environment, COMPANY, at, seal=seal_of(connection)))


def company_of(tx: Transaction, environment: str) -> Company:
    """Return the company's files that are in force in *environment* at the instant of *tx*."""
    return as_company(find_in_force(tx.connection, environment, COMPANY, tx.at, seal=tx.seal))


def load_company(connection: Connection, version_id: str | None, *, seal: Sealer | None = None) -> Company:
    """Return the company's files of version *version_id*."""
    return as_company(load_version(connection, version_id, seal=seal) if version_id else None)


def as_company(version: WorkflowVersion | None) -> Company:
    """Return *version* read as the company's files."""
    return Company() if version is None else Company(version.bundle, version.id, version.number)
