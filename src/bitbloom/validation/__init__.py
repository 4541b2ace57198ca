"""The gate: data that does not meet a task's expectations never reaches `prepare`.

`expectations/<task>.json` is a Great Expectations suite, reviewed like code. It holds no number of any data set:
bounds are suite parameters (`{"$PARAMETER": "rows_min"}`) that a target's `gate` section fills in.

    suite.py        reads the suite, turns bounds into parameters, leaves out what a target does not bound
    derived.py      columns computed from the manifest, so that plain expectations can speak of classes and repeats
    nameless.py     words that name nothing in a photo
    checkpoint.py   runs expectations over a table: the only module that knows Great Expectations
    check.py        the whole check: first the schema, then the content of the columns that are sound
    verdict.py      what was found, as canonical JSON and in plain words
    data_docs.py    the same as a web page, for people; not an output of the build
"""
