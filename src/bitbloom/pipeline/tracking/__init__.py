"""Tracking with Weights & Biases, in a process of its own. A build never waits for it long, and never fails because of it.

The process starts with the first row of a training, so that the curves grow while it runs, and logs the rest after the build.
W&B's own settings decide where: WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE, `wandb login` or WANDB_API_KEY. Without a key it logs
offline below `.bitbloom/wandb`. What goes wrong is one line of warning in the build. `bitbloom track TARGET` logs a finished
build in the foreground. BITBLOOM_TRACK=0 disables tracking, and so does CI.

    follower.py   the build's side: start the process, copy what the build made, print its warning
    copies.py     the copies of a finished build
    process.py    the process: follow a build, log a copy
    run.py        a run of W&B, from its first row to its end
    results.py    what a run has besides its curves
    logged.py     which builds were logged
    warning.py    lines of warning
"""
