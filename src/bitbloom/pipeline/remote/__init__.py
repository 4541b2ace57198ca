"""DVC's remote, a folder or a bucket: what a clone takes from it instead of computing, and what it gives.

Objects have DVC's names (`files/md5/<2 digits>/<30 digits>`, `runs/…`), so that `dvc pull` reads what `make push` writes. Unlike
DVC, every object is compared with its digest on the way in and on the way out, and a fault of the network is never damage.
"""
