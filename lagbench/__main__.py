"""``python -m lagbench``: the same as the command ``lagbench``."""

from lagbench.cli.main import main

if __name__ == "__main__":
    main()
