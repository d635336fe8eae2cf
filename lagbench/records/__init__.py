"""What a run leaves behind: Arrow tables, readable with nothing of ours."""
