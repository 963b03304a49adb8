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
    "fbnet": (
        "FBNet (CVPR 2019): operators by gradients of expected latency",
        "codesign_gym.training.studies.fbnet:study",
    ),
    "lightnas": (
        "LightNAS (DAC 2022): one search per latency target, the weight learned",
        "codesign_gym.training.studies.lightnas:study",
    ),
    "three-phase-gp": (
        "Three-phase co-design (ASP-DAC 2022): Gaussian processes of network and engine, searched genetically",
        "codesign_gym.training.studies.three_phase_gp:study",
    ),
    "nasa": (
        "NASA (ICCAD 2022): networks of convolutions, shifts and additions on chunks with an auto-mapper",
        "codesign_gym.training.studies.nasa:study",
    ),
    "codebench": (
        "CODEBench (TECS 2023): networks and accelerators designed together",
        "codesign_gym.training.studies.codebench:study",
    ),
    "eh-dnas": (
        "EH-DNAS (2021): cells searched through a predictor of performance",
        "codesign_gym.training.studies.eh_dnas:study",
    ),
}
