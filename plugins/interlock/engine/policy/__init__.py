"""From files to a version in force, and from one ledger to another."""
