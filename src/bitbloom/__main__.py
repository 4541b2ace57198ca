"""`python -m bitbloom`: the command `bitbloom`, where it is not on the path."""

from bitbloom.cli import main

if __name__ == "__main__":
    main()
