"""Helpers of tests: stand-ins for models and services, checkouts, tiny targets, corrupted data, a browser."""
