"""Portable arithmetic: pins, seeds, ordered reduction, the portable subset and the step ledger."""
