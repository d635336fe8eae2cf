#!/usr/bin/env bash
# A suite on a Ray cluster. On the machine that is to be the head:
#
#     ray start --head --port=6379            # then on each other machine: ray start --address=HEAD:6379
#     examples/ray_cluster.sh
#
# Nothing is shared between the machines: the records grow here. Started again it goes on with what is left. It needs
# pip install 'lagbench[ray]' on all of them, in the same version.
set -euo pipefail

SUITE=${SUITE:-mujoco-mini-v1}
ALGO=${ALGO:-vaco}
OUT=${OUT:-runs/ray}
ADDRESS=${ADDRESS:-auto}

lagbench sweep --suite "$SUITE" --algo "$ALGO" --out "$OUT" --ray "$ADDRESS"
lagbench score "$OUT" --suite "$SUITE"
