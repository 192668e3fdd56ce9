"""Who comes in: signing in, an OpenID provider, and forms of other sites."""
