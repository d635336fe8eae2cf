#!/usr/bin/env bash
# A suite on a Ray cluster. On the head node:
#
#     ray start --head --port=6379            # then on every other machine: ray start --address=HEAD:6379
#     examples/ray_cluster.sh
#
# No shared file system is needed: records are collected on this machine. When started again, it continues with the
# remaining cells. All machines need the same version of lagbench: pip install 'lagbench[ray]'.
set -euo pipefail

SUITE=${SUITE:-mujoco-mini-v1}
ALGO=${ALGO:-vaco}
OUT=${OUT:-runs/ray}
ADDRESS=${ADDRESS:-auto}

lagbench sweep --suite "$SUITE" --algo "$ALGO" --out "$OUT" --ray "$ADDRESS"
lagbench score "$OUT" --suite "$SUITE"
