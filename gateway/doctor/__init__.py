"""The doctor: tries what the gateway depends on, and says what works, what does not and why.

what is found    row, report
what is set      configuration, credentials
what is reached  upstream, sts, issuers, token_trial, shared_cache
what it means    obstacle, verdict, clock
how it is run    examination, command
"""
