"""Policies that learn from demonstrations, and what trains and exports them."""

from demoloop.policies.errors import PolicyError
from demoloop.policies.policy import Policy, PolicyShape, TrainingRanges
from demoloop.policies.registry import POLICIES, make_policy

__all__ = ["POLICIES", "Policy", "PolicyError", "PolicyShape", "TrainingRanges", "make_policy"]
