"""Hyperparameter search: the same trials, values, pruned trials and winner for any number of workers and after any kill.

    make sweep SPACE=conf/sweep/petals.yaml TRIALS=24 WORKERS=2

    space           reads conf/sweep/<name>.yaml: what is searched, and how
    parameter       the range of one searched key
    configurations  the ends of a space, checked before any trial runs
    inputs          digests of code, configuration, data and weights: whose results these are
    study           proposes trials in generations, compares them at rungs, and makes the rows of the history
    trial           trains one trial up to an epoch, in a folder of its own
    local           runs several trials at a time in processes of this machine
    history         the canonical file of a search, and its digest
    run             a whole search: data, trials, history, page
    winner          makes a target or a config group of the best trial
    check           builds a trial again from nothing, and compares it with the history

Two properties make it deterministic. Each trial has the same bytes wherever it runs, and the study reads the results of a whole
generation in the order of the trials, whichever ended first. So the study is a function of the space: to resume, it starts
again, and takes the results that exist instead of running trials.
"""
