"""`demoloop keys`: the table of what can be done to this computer's keys."""

from __future__ import annotations

from collections.abc import Mapping

from demoloop.cli.verbs import Verb

VERBS: Mapping[str, Verb] = {
    "generate": Verb("demoloop.cli.keys_generate", "Make this computer's own pair of keys."),
    "trust": Verb("demoloop.cli.keys_trust", "Trust the public key of another computer."),
    "list": Verb("demoloop.cli.keys_list", "List the own key and the trusted ones."),
    "revoke": Verb("demoloop.cli.keys_revoke", "Trust a key no longer."),
}
