"""Predictions for many inputs: a folder, a bucket or a table in, numbered files of predictions out.

    bitbloom predict petals photos/ --out predictions/           # part-00000.parquet, part-00001.parquet, …

The inputs are listed once, in a fixed order, and cut into parts of equal size. Each finished part is a file that was written
under another name and then renamed. A run that was killed continues with the missing parts. A part is a pure function of the
list and the model, so neither the engine nor the number of workers changes a byte.
"""
