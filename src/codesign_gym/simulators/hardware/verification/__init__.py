"""Cost models against the outputs of reference simulators and measurements of real devices.

A verifier is a function from the folder of reference tables to a list of checks. Tables are read where
the user has them, with the file names and columns of their origin; none is shipped. A folder may hold
other rows than those a model was built with: nothing here may depend on which.
"""

from __future__ import annotations

#: Verifiers by the name of the model they check.
VERIFIERS: dict[str, str] = {
    "accelbench": "codesign_gym.simulators.hardware.verification.accelbench:verify",
    "bitfusion": "codesign_gym.simulators.hardware.verification.bitfusion:verify",
    "haq-cloud": "codesign_gym.simulators.hardware.verification.haq_cloud:verify",
    "timeloop": "codesign_gym.simulators.hardware.verification.timeloop:verify",
    "zigzag": "codesign_gym.simulators.hardware.verification.zigzag:verify",
    "gemmini": "codesign_gym.simulators.hardware.verification.gemmini:verify",
    "tpu": "codesign_gym.simulators.hardware.verification.tpu:verify",
    "annette": "codesign_gym.simulators.hardware.verification.annette:verify",
    "systolic": "codesign_gym.simulators.hardware.verification.systolic:verify",
    "relaxation": "codesign_gym.simulators.hardware.verification.relaxation:verify",
    "mesh": "codesign_gym.simulators.hardware.verification.stonne:mesh",
    "sigma": "codesign_gym.simulators.hardware.verification.stonne:sigma",
    "maeri": "codesign_gym.simulators.hardware.verification.stonne:maeri",
    "magma": "codesign_gym.simulators.hardware.verification.stonne:magma",
    "bifrost": "codesign_gym.simulators.hardware.verification.bifrost:verify",
    "nvidia-t4": "codesign_gym.simulators.hardware.verification.t4:verify",
    "jetson-tx2": "codesign_gym.simulators.hardware.verification.tx2:verify",
    "v100-dvfs": "codesign_gym.simulators.hardware.verification.v100:verify",
}
