"""A project of your own from this one: another name, the tasks that you want, a fresh history. See `__main__.py`."""
