"""Records of runs, read without a server: a list, a comparison in the terminal and as a page, TensorBoard files.

bitbloom runs                          # every run of this checkout
bitbloom compare petals 3f2a           # two runs; `make compare RUNS='petals 3f2a'`

record.py        a run, and its file
collect.py       a run from the workspace of a build
store.py         `.bitbloom/runs/`: a build adds its run, at most KEPT runs stay
wandb_folder.py  a run from a folder of W&B's client
find.py          all runs of a checkout, and runs by name
listing.py       the table of runs
compare.py       what differs between runs
curves.py        curves of several runs in one chart
terminal.py      a comparison as text
page.py          a comparison as one HTML page
tensorboard.py   curves as TensorBoard's event files
commands.py      `bitbloom runs`, `bitbloom compare`
"""
