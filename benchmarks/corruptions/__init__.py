"""Kinds of damage to a clean data set, each with the expectations that find it.

kind.py        a kind, and the damaged rows
photos.py      damage to the bytes of photos, and copies of photos
texts.py       damage to texts
tweets.py      kinds of tweets
captions.py    kinds of photos with captions
groups.py      damage to classes, to splits, and since the accepted profile
clean.py       the clean sets, their bounds and profiles
"""
