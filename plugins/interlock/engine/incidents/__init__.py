"""What a task reports of troubles that many of its cases share."""
