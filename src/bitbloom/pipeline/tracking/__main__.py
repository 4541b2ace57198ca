"""The tracking process: `python -m bitbloom.pipeline.tracking TARGET WORKSPACE STATUS`."""

from bitbloom.pipeline.tracking.process import main

if __name__ == "__main__":
    main()
