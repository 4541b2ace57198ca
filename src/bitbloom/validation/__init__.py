"""The gate: data that does not meet a task's expectations never reaches `prepare`.

`expectations/<task>.json` is a Great Expectations suite, reviewed like code. It has no numbers of any data set:
bounds are suite parameters (`{"$PARAMETER": "rows_min"}`) with values from a target's `gate` section.

    suite.py        reads the suite, converts bounds to parameters, omits expectations without a bound
    derived/        columns computed from the manifest, for expectations about groups of rows
    profile.py      the accepted profile of a target's data, and what differs from it
    nameless.py     words that name nothing in a photo
    checkpoint.py   runs expectations on a table: the only module that uses Great Expectations
    check.py        the whole check: first the schema, then the content of valid columns
    verdict.py      the result, as canonical JSON and as text
    faulty_rows.py  the rows at fault with thumbnails and texts
    data_docs.py    the result as a web page, with site/; not an output of the build
"""
