"""The lookahead rung of a study: real steps with and without probes, shard by shard, within a budget."""
