"""What scripts/docs.py puts into the site: the repository's pages at their own paths, and the pages generated from the code."""
