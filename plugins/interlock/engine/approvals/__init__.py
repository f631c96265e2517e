"""What people do: vote, edit, ask back, override, resubmit, break the glass."""
