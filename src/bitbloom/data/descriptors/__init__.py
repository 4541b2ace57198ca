"""Descriptors: plain numbers of one input, by which drift is found and named.

The service, the reference and `bitbloom drift` compute them by the same code. It needs NumPy and ftfy only. All values come from
integer sums and one division, so that they are the same on every CPU.
"""
