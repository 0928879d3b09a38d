"""The faces of the tool: the `curate` command. It asks the other rooms and decides nothing."""
