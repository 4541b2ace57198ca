"""What keeps arithmetic the same: pins, seeds, ordered reduction, the step ledger."""
