"""One published system's experiment each: what its paper claims, and whether it holds here."""

#: Study id to a title and the function that runs it.
STUDIES: dict[str, tuple[str, str]] = {
    "haq": ("HAQ (CVPR 2019): mixed precision by reinforcement learning", "codesign_gym.training.studies.haq:study"),
}
