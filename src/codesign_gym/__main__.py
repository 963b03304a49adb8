"""``python -m codesign_gym`` is the command line."""

from codesign_gym.training.cli import main

if __name__ == "__main__":
    main()
