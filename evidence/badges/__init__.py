"""Letters and certificates as Open Badges 3.0 credentials (CPE14).

`credential` says what one states, `issuing` makes it once, `badge_keys` has the keys, `status_list` what no longer
holds, `issuer_profile` what the program publishes about itself, and `badge_verifier` checks a credential offline.
"""
