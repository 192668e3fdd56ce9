"""Pages of settings of the deployment."""
