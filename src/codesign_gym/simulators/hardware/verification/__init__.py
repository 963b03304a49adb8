"""Cost models against the outputs of reference simulators and measurements of real devices.

A verifier is a function from the folder of reference tables to a list of checks. Tables are read where
the user has them, with the file names and columns of their origin; none is shipped. A folder may hold
other rows than those a model was built with: nothing here may depend on which.
"""

from __future__ import annotations

#: Verifiers by the name of the model they check.
VERIFIERS: dict[str, str] = {
    "haq-cloud": "codesign_gym.simulators.hardware.verification.haq_cloud:verify",
}
