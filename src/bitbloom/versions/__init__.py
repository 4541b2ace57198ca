"""Versions of a target's data: the difference of two, and the profile that a reviewed change accepts (docs/data-versions.md)."""
