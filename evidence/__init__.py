"""Letters, certificates, the dossier and its verifier, checkpoints."""
