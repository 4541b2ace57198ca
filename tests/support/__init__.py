"""What tests share: stand-ins for models and services, checkouts, tiny targets, damaged data, a browser."""
