"""One published system's experiment each: what its paper claims, and whether it holds here."""

#: Study id to a title and the function that runs it.
STUDIES: dict[str, tuple[str, str]] = {
    "haq": ("HAQ (CVPR 2019): mixed precision by reinforcement learning", "codesign_gym.training.studies.haq:study"),
    "hadas": (
        "HADAS (DATE 2023): backbone, early exits and clocks together",
        "codesign_gym.training.studies.hadas:study",
    ),
    "dvfs-runtime": (
        "Runtime control of clocks and exits: learned policies, governors, a fixed setting, an oracle",
        "codesign_gym.training.studies.dvfs_runtime:study",
    ),
    "bifrost": (
        "Bifrost (ISPASS 2022): mappings tuned for a reconfigurable accelerator",
        "codesign_gym.training.studies.bifrost:study",
    ),
    "lana": (
        "LANA (ECCV 2022): a trained network's layers replaced by an integer program",
        "codesign_gym.training.studies.lana:study",
    ),
}
