"""`python -m bitbloom`: the command `bitbloom`, also when it is not on PATH."""

from bitbloom.cli import main

if __name__ == "__main__":
    main()
