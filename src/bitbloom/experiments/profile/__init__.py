"""Profiles of a stage or of the service: where the time and the memory go, as one page of reports/<target>/profile/<stage>/.

Nothing here changes the code that it measures. A training is observed by public hooks of PyTorch and by Python's profile events,
a service by its own metrics and by the kernel's clocks, another stage by cProfile, and each of them by py-spy.
"""
