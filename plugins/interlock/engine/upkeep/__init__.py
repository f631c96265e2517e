"""What has to be done while nothing else happens."""
