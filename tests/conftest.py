"""Fixtures that several folders of tests share."""

pytest_plugins = ("checkouts", "standin", "text_standin")
